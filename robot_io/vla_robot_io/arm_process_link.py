"""An arm in a process of its own, as the control loop sees it: `ArmLink` over shared memory.

    control loop ─► orders   ─┐                  ┌─► states ─► control loop, cameras of a simulated world
    a thread     ─► pulse    ─┼─► arm's process ─┘
    a thread     ─► dead man ─┘

The arm goes on being ticked, read and guarded while a policy thinks, and brakes if this process hangs or dies. If the
arm's process dies or stops, that is a fault here, and nothing starts it again by itself. What a run leaves of its
memory if it is killed names its process and boot; the next run finds that both are gone, and removes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from vla.errors import ArmError, ArmFault, ConfigError
from vla.interfaces import ArmMode, ArmSpec, Twin
from vla_robot_io.arm_link import MOST_BRAKING_S
from vla_robot_io.arm_process import DEAD_MAN, ORDERS, PULSE, STATES, Recipe
from vla_robot_io.dead_man import MESSAGE, DeadManSender
from vla_robot_io.operating.letterbox import Mailbox, memory
from vla_robot_io.plans import ArmReport, Plan
from vla_robot_io.process_records import (
    Verb,
    events_after,
    mode_of,
    order_type,
    put_plan,
    report_of,
    state_type,
    text_of,
)
from vla_robot_io.punctuality import ask_for_priority
from vla_robot_io.reasons import Reason, TripLog

PULSE_S = 0.01
SILENT_S = 0.25
"""An arm's process that tells nothing for so long is not there, or stands still."""
STARTS_S = 120.0
REQUEST_S = 30.0
"""To connect may take long."""
_POLL_S = 0.001
_PREFIX = "vla-arm-"


class ArmProcess:
    """The process of one arm; it begins when this is made."""

    def __init__(self, recipe: Recipe, spec: ArmSpec, twin: Twin | None = None) -> None:
        """Start it, and wait until it ticks; the arm is not touched.

        Args:
            recipe: its `folder`, `nonce` and `runtime` are filled in here.
            spec: of the arm that it will have.
            twin: here, of a simulated robot's world: shown what the arm's process has.

        Raises:
            ConfigError: if it does not come up, with what it says.
        """
        self._spec, self._twin, self._period_s = spec, twin, 1.0 / spec.rate_hz
        self.trips = TripLog()
        self.permit: Callable[[], Reason | None] | None = None
        remove_stale()
        self._folder = _own_folder()
        joints = len(spec.joints)
        numbers = 0 if twin is None else len(twin.save())
        self._state_type = state_type(joints, numbers)
        self._order = np.zeros((), order_type(joints))
        self._orders = Mailbox(self._folder / ORDERS, self._order.nbytes)
        self._pulse = Mailbox(self._folder / PULSE, 8)
        self._held = Mailbox(self._folder / DEAD_MAN, MESSAGE.size)
        self._states = Mailbox(self._folder / STATES, self._state_type.itemsize)
        self._state: np.ndarray | None = None
        self._seen = self._acknowledged = 0
        self._reasons: list[Reason] = []
        self._notes: list[str] = []
        self._last_fault: str | None = None
        self._recorded_tick = -1
        recipe.folder, recipe.runtime, recipe.nonce = str(self._folder), os.getpid(), secrets.randbits(63)
        self._dead_man = DeadManSender(self._held, recipe.nonce)
        recipe.is_told = threading.current_thread() is threading.main_thread()
        self._stopped = threading.Event()
        self._heart = threading.Thread(target=self._beat, args=(recipe.nonce,), name="arm pulse", daemon=True)
        self._heart.start()
        self._process = _started(recipe)
        self.granted: dict[str, str] = {}
        """What the system granted to the arm's process, by what it was asked of."""
        try:
            self._ready()
        except BaseException:
            self._end()
            raise

    @property
    def folder(self) -> Path:
        """Of its mailboxes."""
        return self._folder

    @property
    def pid(self) -> int:
        """Of the arm's process."""
        return self._process.pid

    @property
    def dead_man(self) -> Callable[[], bool] | None:
        """See `ArmLink`."""
        return self._dead_man.is_held

    @dead_man.setter
    def dead_man(self, is_held: Callable[[], bool] | None) -> None:
        self._dead_man.is_held = is_held

    # ------------------------------------------------------------------ what is known

    @property
    def mode(self) -> ArmMode:
        return ArmMode.DISCONNECTED if self._state is None else mode_of(self._newest())

    @property
    def last_fault(self) -> str | None:
        return self._last_fault

    @property
    def latched(self) -> str | None:
        return text_of(self._newest(), "latched")

    def report(self) -> ArmReport:
        state = self._newest()
        if not state["has_reading"]:
            raise ArmError(f"{self._spec.name} has not been read")
        return report_of(state)

    def look(self) -> ArmReport:
        state = self._newest()
        self._require_alive()
        if self._twin is not None:
            self._twin.show(state["world"].astype(np.float64))
        report = self.report()
        if report.failure is not None:
            raise ArmFault(report.failure)
        return report

    def take_reasons(self) -> tuple[tuple[Reason, ...], tuple[str, ...]]:
        self._newest()
        reasons = {(reason.code, reason.field): reason for reason in reversed(self._reasons)}
        notes = tuple(dict.fromkeys(self._notes))
        self._reasons, self._notes = [], []
        return tuple(reversed(reasons.values())), notes

    def note(self, reasons: tuple[Reason, ...], source: str) -> None:
        self.trips.record(reasons, source)
        self._reasons += reasons

    # ------------------------------------------------------------------ what is asked

    def open(self) -> None:
        if self.mode in (ArmMode.DISCONNECTED, ArmMode.CONNECTED):
            self._ask(Verb.OPEN)

    def enable(self) -> None:
        self._ask(Verb.ENABLE)

    def fault(self, text: str) -> None:
        self._ask(Verb.FAULT, text)
        self._await_rest()

    def acknowledge(self, fault: str) -> None:
        self._ask(Verb.ACKNOWLEDGE, fault)

    def go_on(self) -> None:
        halt = self.report().halt
        self._acknowledged = max(self._acknowledged, 0 if halt is None else halt.number)

    def carry_out(
        self, increment: Float64[np.ndarray, " joints"], gripper_m: float, ticks: int, *, stands_still: bool = False
    ) -> None:
        """See `ArmLink`. It comes back as the last of the ticks begins: to look and to think have this one's time."""
        sequence = self._send(increment, gripper_m, ticks, stands_still=stands_still)
        until_s = time.monotonic() + ticks * self._period_s + 1.0
        while not self._is_over(sequence):
            if time.monotonic() > until_s:
                raise self._lost("did not carry out a plan in time")
            reason = None if self.permit is None or stands_still else self.permit()
            if reason is not None:
                self.note((reason,), "operator")
                left = max(1, int(self._newest()["ticks_left"]))
                sequence = self._send(np.zeros_like(increment), gripper_m, left, stands_still=True)
                stands_still = True
            time.sleep(_POLL_S)

    def hold(self) -> None:
        if self.mode is not ArmMode.RUNNING:
            return
        self._send(np.zeros(len(self._spec.joints)), 0.0, 1, stands_still=True)
        self._await_rest()
        failure = self.report().failure
        if failure is not None:
            raise ArmFault(failure)

    def _await_rest(self) -> None:
        until_s = time.monotonic() + MOST_BRAKING_S
        while self.mode is ArmMode.RUNNING and time.monotonic() < until_s:
            self._require_alive()
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Hold, and end the arm's process; torque stays as it is."""
        try:
            if self._process.poll() is None:
                self.hold()
                self._put(Verb.CLOSE)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(MOST_BRAKING_S)
        finally:
            self._end()

    # ------------------------------------------------------------------ memory

    def _beat(self, nonce: int) -> None:
        message = nonce.to_bytes(8, "little")
        # A pulse that waits for a busy machine's other work would hold the arm for nothing.
        ask_for_priority()
        while not self._stopped.is_set():
            self._pulse.write(message)
            self._stopped.wait(PULSE_S)

    def _send(self, increment: np.ndarray, gripper_m: float, ticks: int, *, stands_still: bool) -> int:
        sequence = int(self._order["plan"]) + 1
        # A plan that is seen later than this was made by somebody who has stood still meanwhile.
        valid_until_s = time.monotonic() + SILENT_S
        plan = Plan(
            sequence,
            increment,
            gripper_m,
            ticks,
            valid_until_s,
            self._acknowledged,
            stands_still=stands_still,
            needs_dead_man=self.dead_man is not None and not stands_still,
        )
        # The arm's process has the answer before the plan that needs it.
        self._dead_man.say()
        put_plan(self._order, plan)
        self._orders.write(self._order.tobytes())
        return sequence

    def _put(self, verb: Verb, text: str = "") -> int:
        self._order["verb"], self._order["text"] = verb, text.encode()
        self._order["request"] += 1
        self._orders.write(self._order.tobytes())
        return int(self._order["request"])

    def _ask(self, verb: Verb, text: str = "") -> None:
        """Have something done, and wait until it is."""
        request, until_s = self._put(verb, text), time.monotonic() + REQUEST_S
        while (state := self._newest())["request"] < request:
            if self._process.poll() is not None or time.monotonic() > until_s:
                raise self._lost(f"did not answer '{verb.name.lower()}'")
            time.sleep(_POLL_S)
        told = state["refusal_text"].item().decode(errors="replace")
        kind = state["refusal"].item()
        if kind:
            raise ArmFault(told) if kind == b"fault" else ArmError(told)

    def _newest(self) -> np.ndarray:
        """The newest state; what was met since is taken note of."""
        message = self._states.read()
        if message is not None:
            self._state = np.frombuffer(message, self._state_type).reshape(())
            self._heed(self._state)
        if self._state is None:
            raise ArmError(f"the process of {self._spec.name} has told nothing yet")
        return self._state

    def _heed(self, state: np.ndarray) -> None:
        for source, reason, text in events_after(state, self._seen):
            if reason is None:
                self._notes.append(text)
            else:
                self.trips.record((reason,), source)
                self._reasons.append(reason)
        self._seen = int(state["num_events"])
        self._last_fault = text_of(state, "latched") or self._last_fault

    def _is_over(self, sequence: int) -> bool:
        state = self._newest()
        self._require_alive()
        if state["has_failure"]:
            # It brakes before its fault is latched.
            return mode_of(state) is not ArmMode.RUNNING
        return bool(state["plan"] >= sequence and state["ticks_left"] == 0)

    def _require_alive(self) -> None:
        """Return if the arm's process ticks.

        Raises:
            ArmFault: if it does not.
        """
        if self._process.poll() is not None:
            raise self._lost(f"ended with status {self._process.returncode}")
        if self._state is not None:
            silent_s = time.monotonic() - float(self._state["time_s"])
            if silent_s > SILENT_S and self._states.read() is None:
                raise self._lost(f"has told nothing for {silent_s:.3f} s, over {SILENT_S} s")

    def _lost(self, what: str) -> ArmFault:
        self._last_fault = (
            f"the process of {self._spec.name}, {self._process.pid}, {what}: look at the arm, then start anew"
        )
        return ArmFault(self._last_fault)

    def _ready(self) -> None:
        line = _first_line(self._process, STARTS_S)
        told = json.loads(line) if line.strip() else {}
        if "granted" not in told:
            why = told.get("error", "it says nothing")
            raise ConfigError(f"the process of {self._spec.name} did not come up: {why}")
        self.granted = told["granted"]
        until_s = time.monotonic() + STARTS_S
        while (message := self._states.read()) is None:
            if self._process.poll() is not None or time.monotonic() > until_s:
                raise ConfigError(f"the process of {self._spec.name} did not come up: it tells no state")
            time.sleep(_POLL_S)
        self._state = np.frombuffer(message, self._state_type).reshape(())

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._stopped.set()
        self._heart.join()
        self._dead_man.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        for box in (self._orders, self._pulse, self._held, self._states):
            box.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _started(recipe: Recipe) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "vla_robot_io.arm_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Arithmetic on a handful of joints is no work for several threads.
        env=os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(vars(recipe)) + "\n")
    process.stdin.flush()
    return process


def _first_line(process: subprocess.Popen[str], wait_s: float) -> str:
    """What it says first; empty if nothing comes, or it is gone."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], wait_s)
    return process.stdout.readline() if ready else ""


# --------------------------------------------------------------------------- memory of runs that are over


def remove_stale(within: Path | None = None) -> list[Path]:
    """Remove what runs that are over have left behind, and say what that was.

    A run's folder names the boot and the process it is of, and when that process began: a number that was given to
    another process since is not taken for it.
    """
    removed = []
    for folder in sorted((within or memory()).glob(f"{_PREFIX}*")):
        if folder.is_dir() and folder.stat().st_uid == os.getuid() and not _is_alive(folder):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _own_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=memory()))
    owner = {"boot": _boot(), "pid": os.getpid(), "began": _began(os.getpid()), "nonce": folder.name}
    (folder / "owner.json").write_text(json.dumps(owner), encoding="utf-8")
    return folder


def _is_alive(folder: Path) -> bool:
    """Whether the process of this folder is still there."""
    for owner in _owners(folder):
        began = _began(int(str(owner["pid"])))
        return owner.get("boot") == _boot() and began is not None and owner.get("began") == began
    # Half made: by somebody who is at it, or who died at it.
    return time.time() - folder.stat().st_mtime < STARTS_S


def _owners(folder: Path) -> Iterator[dict[str, object]]:
    with contextlib.suppress(OSError, ValueError):
        owner = json.loads((folder / "owner.json").read_text(encoding="utf-8"))
        if isinstance(owner, dict) and isinstance(owner.get("pid"), int):
            yield owner


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


def _began(pid: int) -> str | None:
    """When a process began, in ticks since the machine's boot; None if there is none, or it is dead and unburied."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
