"""A controller of Universal Robots in a process of its own: RTDE, dashboard, script port, and joints that move.

    ur-rtde ──30004── RTDE: state at 500 Hz out, command registers in
            ──29999── dashboard: model, version, modes, unlocking
            ──30003── script port: a program that comes is running
            ──63352── a Robotiq gripper's server

`start_anywhere` starts it; what goes wrong it is told a line at a time.

It must not share a process with ur-rtde, which holds the interpreter while it connects. The joints are a first-order
lag with a speed limit: enough for what a driver has to get right, nothing to tune a controller with. Commands are told
by number, as ur-rtde writes them into its registers: 11 servo, 16 stop servoing, 35 watch, 255 end the program.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import select
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from vla_robot_io.links.controller_process import ControllerProcess
from vla_robot_io.universal_robots import rtde_protocol as rtde

RTDE_PORT, DASHBOARD_PORT, SCRIPT_PORT, GRIPPER_PORT = 30004, 29999, 30003, 63352
PORTS = (RTDE_PORT, DASHBOARD_PORT, SCRIPT_PORT, GRIPPER_PORT)
RATE_HZ = 500.0
MAX_SPEED_RAD_S = math.pi
LAG_S = 0.03
"""How far joints are behind a servo command."""
NO_COMMAND, SERVO_J, SERVO_STOP, WATCHDOG, END_PROGRAM = 0, 11, 16, 35, 255
READY, DONE = 1, 2
"""What the program on the controller writes into output_int_register_0."""
NORMAL, PROTECTIVE, SAFEGUARD, EMERGENCY = 1 << 0, 1 << 2, 1 << 4, (1 << 6) | (1 << 7)
POWER_ON, PROGRAM_RUNNING = 1 << 0, 1 << 1
ROBOT_RUNNING, ROBOT_IDLE = 7, 5
START_RAD = (0.0, -1.57, 1.57, -1.57, -1.57, 0.0)
UNLOCK_AFTER_S = 5.0
_ATTEMPTS = 10
FAULTS = (
    "freeze",
    "thaw",
    "restart",
    "zeros",
    "protective",
    "safeguard",
    "emergency",
    "clear",
    "age",
    "slider",
    "other",
    "patient",
    "quit",
)
"""What it can be told: `slider 0.1`; `age 5`, a stop is so much older; `other`, another program takes over;
`patient 60`, its watchdog waits at least so long for a client on a busy machine, s."""


class Joints:
    """Six joints behind a servo command."""

    def __init__(self, start: Sequence[float] = START_RAD) -> None:
        self.q = list(start)
        self.qd = [0.0] * 6
        self.target = list(start)

    def step(self, dt_s: float, fraction: float) -> None:
        """Go on by one step, at this part of full speed."""
        for joint in range(6):
            speed = (self.target[joint] - self.q[joint]) / LAG_S
            self.qd[joint] = max(-MAX_SPEED_RAD_S, min(MAX_SPEED_RAD_S, speed)) * fraction
            self.q[joint] += self.qd[joint] * dt_s

    def stop(self) -> None:
        """Stand where they are."""
        self.target, self.qd = list(self.q), [0.0] * 6


class Controller:
    """What the controller is, whoever is connected."""

    def __init__(self, model: str, version: str, start: Sequence[float] = START_RAD) -> None:
        self.model, self.version = model, version
        self.joints = Joints(start)
        self.time_s = 100.0
        self.slider = 1.0
        self.safety_bits = NORMAL
        self.stopped_s = -math.inf
        self.is_running = False
        self.state = 0
        self.frozen = self.zeros = False
        self.gripper = 0
        self.watchdog_s = math.inf
        self.patience_s = 0.0
        self.heard_s = 0.0

    @property
    def is_stopped(self) -> bool:
        return self.safety_bits != NORMAL

    def step(self, dt_s: float) -> None:
        self.time_s += dt_s
        self.joints.step(dt_s, 0.0 if self.is_stopped else self.slider)

    def watch(self) -> None:
        """End a program that its client has left alone; after what has come from it by now was heard.

        A controller never gets no processor time; where this one does, what its client sent meanwhile is waiting.
        """
        if self.is_running and self.time_s - self.heard_s > max(self.watchdog_s, self.patience_s):
            self.end_program()

    def start_program(self) -> None:
        if not self.is_stopped:
            self.is_running, self.state, self.watchdog_s = True, READY, math.inf

    def end_program(self) -> None:
        self.is_running, self.state = False, 0
        self.joints.stop()

    def command(self, registers: dict[str, float]) -> None:
        """What a client has written into the input registers."""
        kind = next((int(v) for name, v in registers.items() if name.startswith("input_int_register_")), NO_COMMAND)
        doubles = [value for name, value in registers.items() if name.startswith("input_double_register_")]
        self.heard_s = self.time_s
        if not self.is_running:
            return
        if kind == SERVO_J and len(doubles) >= 6:
            self.joints.target = doubles[:6]
            return
        if kind == END_PROGRAM:
            self.end_program()
            return
        if kind == SERVO_STOP:
            self.joints.stop()
        if kind == WATCHDOG and doubles and doubles[0] > 0:
            self.watchdog_s = 1 / doubles[0]
        self.state = READY if kind == NO_COMMAND else DONE

    def tell(self, words: list[str]) -> bool:
        """Do what a line of `FAULTS` says; whether to go on."""
        match words:
            case ["freeze"]:
                self.frozen = True
            case ["thaw"]:
                self.frozen = self.zeros = False
            case ["restart"]:
                self.time_s = 1.0
            case ["zeros"]:
                self.zeros = True
            case ["protective" | "safeguard" | "emergency" as kind]:
                bits = {"protective": PROTECTIVE, "safeguard": SAFEGUARD, "emergency": EMERGENCY}
                self.safety_bits, self.stopped_s = bits[kind], self.time_s
                self.end_program()
            case ["clear"]:
                self.safety_bits = NORMAL if self.safety_bits != PROTECTIVE else self.safety_bits
            case ["age", seconds]:
                self.stopped_s -= float(seconds)
            case ["slider", fraction]:
                self.slider = float(fraction)
            case ["other"]:
                self.end_program()
            case ["patient", seconds]:
                self.patience_s = float(seconds)
            case _:
                return False
        return True

    def values(self) -> dict[str, object]:
        """Every output field that is not zero."""
        q = [0.0] * 6 if self.zeros else self.joints.q
        status = POWER_ON | (PROGRAM_RUNNING if self.is_running else 0)
        return {
            "timestamp": self.time_s,
            "actual_q": q,
            "actual_qd": [0.0] * 6 if self.zeros else self.joints.qd,
            "target_q": [0.0] * 6 if self.zeros else self.joints.target,
            "robot_mode": ROBOT_RUNNING,
            "safety_mode": 1 if self.safety_bits == NORMAL else 3,
            "safety_status_bits": self.safety_bits,
            "robot_status_bits": status,
            "runtime_state": 2 if self.is_running else 1,
            "speed_scaling": 0.0 if self.is_stopped else 1.0,
            "target_speed_fraction": self.slider,
            "payload": 0.9,
            "output_int_register_0": self.state,
            "output_int_register_24": self.state,
        }

    def dashboard(self, line: str) -> str:
        """The answer to one line on the dashboard's port."""
        match line.split():
            case ["get", "robot", "model"]:
                return self.model
            case ["PolyscopeVersion"]:
                return f"URSoftware {self.version}.1101319 (Jan 01 2023)"
            case ["get", "serial", "number"]:
                return "20235500001"
            case ["is", "in", "remote", "control"]:
                return "true"
            case ["robotmode"]:
                return "Robotmode: RUNNING"
            case ["safetystatus"]:
                names = {NORMAL: "NORMAL", PROTECTIVE: "PROTECTIVE_STOP", SAFEGUARD: "SAFEGUARD_STOP"}
                return f"Safetystatus: {names.get(self.safety_bits, 'ROBOT_EMERGENCY_STOP')}"
            case ["running"]:
                return f"Program running: {str(self.is_running).lower()}"
            case ["close", "safety", "popup"]:
                return "closing safety popup"
            case ["unlock", "protective", "stop"]:
                return self._unlock()
            case ["stop"]:
                self.end_program()
                return "Stopped"
            case _:
                return f"could not understand: '{line}'"

    def _unlock(self) -> str:
        if self.safety_bits == PROTECTIVE and self.time_s - self.stopped_s < UNLOCK_AFTER_S:
            return (
                "Cannot unlock protective stop until 5s after occurrence. "
                "Always inspect cause of protective stop before unlocking"
            )
        self.safety_bits = NORMAL if self.safety_bits == PROTECTIVE else self.safety_bits
        return "Protective stop releasing"

    def grip(self, line: str) -> str:
        """The answer to one line on the gripper's port."""
        match line.split():
            case ["SET", *pairs]:
                settings = dict(zip(pairs[::2], pairs[1::2], strict=False))
                self.gripper = int(settings.get("POS", self.gripper))
                return "ack"
            case ["GET", "POS"]:
                return f"POS {self.gripper}"
            case ["GET", name]:
                return f"{name} 3" if name == "STA" else f"{name} 1"
            case _:
                return "?"


# --------------------------------------------------------------------------- the server


class _Rtde:
    """One client of the RTDE port."""

    def __init__(self, wire: socket.socket) -> None:
        self.wire, self.buffer = wire, bytearray()
        self.output: Recipe | None = None
        self.inputs: dict[int, rtde.Recipe] = {}
        self.is_started = False
        self.period_s, self.due_s = 1 / RATE_HZ, 0.0

    def hear(self, content: bytes, controller: Controller) -> None:
        self.buffer += content
        for kind, payload in rtde.take_messages(self.buffer):
            answer = self._answer(kind, payload, controller)
            if answer is not None:
                self.wire.sendall(rtde.message(kind, answer))

    def _answer(self, kind: int, payload: bytes, controller: Controller) -> bytes | None:
        if kind == rtde.REQUEST_PROTOCOL_VERSION:
            return b"\x01"
        if kind == rtde.GET_CONTROLLER_VERSION:
            numbers = [int(number) for number in controller.version.split(".")]
            return b"".join(number.to_bytes(4, "big") for number in (*numbers, 1101319))
        if kind == rtde.SETUP_OUTPUTS:
            self.period_s = 1 / float(rtde.Recipe(["timestamp"]).unpack(payload[:8])["timestamp"])
            self.output = rtde.Recipe(rtde.names_in(payload[8:]))
            return b"\x01" + ",".join(self.output.types).encode()
        if kind == rtde.SETUP_INPUTS:
            recipe = rtde.Recipe(rtde.names_in(payload))
            self.inputs[len(self.inputs) + 1] = recipe
            return bytes([len(self.inputs)]) + ",".join(recipe.types).encode()
        if kind in (rtde.START, rtde.PAUSE):
            self.is_started = kind == rtde.START
            return b"\x01"
        if kind == rtde.DATA and payload and payload[0] in self.inputs:
            controller.command(self.inputs[payload[0]].unpack(payload[1:]))
        return None

    def speak(self, controller: Controller, now_s: float) -> None:
        if self.is_started and self.output is not None and now_s >= self.due_s:
            self.due_s = max(self.due_s + self.period_s, now_s)
            self.wire.sendall(rtde.message(rtde.DATA, b"\x01" + self.output.pack(controller.values())))


Recipe = rtde.Recipe


class _Server:
    """Every port of one controller."""

    def __init__(self, controller: Controller, host: str) -> None:
        self._controller = controller
        self._listeners = {socket.create_server((host, port)): port for port in PORTS}
        self._clients: dict[socket.socket, int] = {}
        self._rtde: dict[socket.socket, _Rtde] = {}
        self._lines: dict[socket.socket, bytearray] = {}

    def serve(self) -> None:
        """Until standard input is closed, or says `quit`."""
        told: TextIO = sys.stdin
        before_s = time.monotonic()
        while True:
            waiting: list[Any] = [told, *self._listeners, *self._clients]
            ready, _, _ = select.select(waiting, [], [], 1 / RATE_HZ)
            now_s = time.monotonic()
            self._controller.step(now_s - before_s)
            before_s = now_s
            for file in ready:
                if file is told:
                    line = told.readline()
                    if not line or not self._controller.tell(line.split()):
                        return
                    print("done", flush=True)
                elif file in self._listeners:
                    self._accept(file)
                elif isinstance(file, socket.socket):
                    self._hear(file)
            self._controller.watch()
            self._speak(now_s)

    def _accept(self, listener: socket.socket) -> None:
        wire, _ = listener.accept()
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[wire] = self._listeners[listener]
        self._lines[wire] = bytearray()
        if self._clients[wire] == RTDE_PORT:
            self._rtde[wire] = _Rtde(wire)
        if self._clients[wire] == DASHBOARD_PORT:
            wire.sendall(b"Connected: Universal Robots Dashboard Server\n")

    def _hear(self, wire: socket.socket) -> None:
        try:
            content = wire.recv(65536)
        except OSError:
            content = b""
        if not content:
            self._forget(wire)
        elif self._clients[wire] == RTDE_PORT:
            with self._forgetting(wire):
                self._rtde[wire].hear(content, self._controller)
        elif self._clients[wire] == SCRIPT_PORT:
            self._hear_script(wire, content)
        else:
            self._hear_lines(wire, content)

    def _hear_script(self, wire: socket.socket, content: bytes) -> None:
        """A program is whole when its last line has come."""
        self._lines[wire] += content
        if self._lines[wire].rstrip().endswith(b"end"):
            self._lines[wire].clear()
            self._controller.start_program()

    def _hear_lines(self, wire: socket.socket, content: bytes) -> None:
        self._lines[wire] += content
        *lines, rest = bytes(self._lines[wire]).split(b"\n")
        self._lines[wire] = bytearray(rest)
        is_dashboard = self._clients[wire] == DASHBOARD_PORT
        for line in lines:
            text = line.decode(errors="replace").strip()
            answer = self._controller.dashboard(text) if is_dashboard else self._controller.grip(text)
            with self._forgetting(wire):
                wire.sendall(answer.encode() + b"\n")

    def _speak(self, now_s: float) -> None:
        if self._controller.frozen:
            return
        for wire, client in list(self._rtde.items()):
            with self._forgetting(wire):
                client.speak(self._controller, now_s)

    @contextlib.contextmanager
    def _forgetting(self, wire: socket.socket) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):
            self._forget(wire)

    def _forget(self, wire: socket.socket) -> None:
        for book in (self._clients, self._rtde, self._lines):
            book.pop(wire, None)  # type: ignore[attr-defined]
        wire.close()


def start_anywhere(
    start: Sequence[float] = START_RAD, *, model: str = "UR5", version: str = "5.12.0"
) -> ControllerProcess:
    """A controller in a process of its own, at an address of this machine that no other has; it is told `FAULTS`.

    Args:
        start: joint positions, rad.
        model: as the dashboard of a UR5e names it.

    Raises:
        OSError: if there is no such address.
    """
    hosts = (f"127.0.0.{number}" for number in range(2, 255))
    for host in itertools.islice(filter(_is_free, hosts), _ATTEMPTS):
        # Between the look and the beginning another process may have taken it.
        with contextlib.suppress(OSError):
            return ControllerProcess(__name__, host, (model, version, *map(repr, start)))
    raise OSError(f"no address of this machine has the ports {', '.join(map(str, PORTS))} free")


def _is_free(host: str) -> bool:
    """Whether nobody listens on any of the ports there."""
    with contextlib.ExitStack() as stack:
        try:
            for port in PORTS:
                stack.enter_context(socket.create_server((host, port)))
        except OSError:
            return False
    return True


def main(arguments: Sequence[str]) -> int:
    """Serve until standard input ends: HOST MODEL VERSION JOINT... The exit status is 1 if a port is taken."""
    host, model, version, *start = arguments
    try:
        server = _Server(Controller(model, version, [float(joint) for joint in start]), host)
    except OSError as error:
        print(error, flush=True)
        return 1
    print("done", flush=True)
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
