"""An hour of motion at one random fault a minute: no invariant is broken, and memory stays as it is.

    a policy that wanders ─► the control loop ─► a fake arm, or emulated servos ◄─ a fault, once a minute, at random
                                  │                       │
              an operator acknowledges by name,     every applied command: finite, in its limits, one step at most,
              and begins anew                       taken while the arm ran; faults left by their own name alone

Each fault says what the loop must make of it, and by when. Seeded: `run(rig, minutes, seed)` repeats a failure.

`python -m benchmarks soak`: two virtual hours. One rig, other lengths, or real time:
`python -m benchmarks.soak rig=servos minutes=60 seed=3 clock=real`
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import gc
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from vla.clock import RealClock, VirtualClock
from vla.errors import ActionError, ArmError, ObservationError, VlaError
from vla.interfaces import ArmMode, CameraFrame, Clock, EpisodeSpec
from vla.testing.applied import AppliedCheck, Entry, LoggedArm
from vla_robot_io.control_loop import ArmEnvironment, StepReport
from vla_robot_io.fake_arm import ArmFaults, FakeArm, Window
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.loopback import loopback_robot, loopback_servos
from vla_robot_io.servos.emulator import EmulatedServos, ServoFaults
from vla_robot_io.servos.registers import MODELS
from vla_sim.embodiments import TABLETOP_PANDA

MINUTES, SEED = 60.0, 6
RIGS = ("fake", "servos")
SPEC = EpisodeSpec(task="", seed=0, instruction="wander")
BOX = EnvelopeConfig([0.25, -0.3, 0.05], [0.7, 0.3, 0.5], floor_m=0.01, speed_factor=1.0)
_LOOK_S = 0.5
"""How long the operator looks before beginning anew."""
_GIVE_UP_S = 30.0
"""An arm that does not move this long after a fault is over has been lost."""
_WARM_MINUTES = 10.0
"""Memory is compared from here on: until then buffers fill."""


class Expected(enum.Enum):
    """What the loop must make of a fault."""

    GO_ON = "go on"
    """Nothing, or hardly anything: no fault is latched."""
    KEEP = "keep to the limits"
    """Whatever it likes, within every limit."""
    HOLD = "hold"
    """Stand still in time; whether a fault is latched too is left open."""
    FAULT = "fault"
    """Stand still in time, and latch a fault."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """One kind of thing that goes wrong."""

    lasts_s: float
    expected: Expected
    within_s: float = math.inf
    """From its beginning, the last command that moves anything comes no later."""
    arm: Callable[[Window], ArmFaults] | None = None
    servos: Callable[[Window, int], ServoFaults] | None = None
    """With the id of the servo that it meets."""
    camera: Callable[[CameraFrame], CameraFrame] | None = None
    action: Callable[[np.ndarray], np.ndarray] | None = None
    late_s: float = 0.0
    """How long the policy takes for one action."""


def _gone(_: CameraFrame) -> CameraFrame:
    raise OSError("no such device")


def _with(**changes: Any) -> Callable[[CameraFrame], CameraFrame]:
    return lambda frame: dataclasses.replace(frame, **changes)


GO_ON, KEEP, HOLD, FAULT = Expected
BLACK = np.zeros((32, 40, 3), np.uint8)
SHARED = {
    "camera frozen": Fault(2.0, HOLD, 0.45, camera=_with(time_s=0.0, sequence=1)),
    "camera black": Fault(1.0, HOLD, 0.25, camera=_with(image=BLACK)),
    "camera gone": Fault(0.5, HOLD, 0.25, camera=_gone),
    "camera of another size": Fault(0.5, HOLD, 0.25, camera=_with(image=BLACK[::2])),
    "camera clock jumps": Fault(0.3, HOLD, 0.25, camera=_with(time_s=1e9)),
    "action of NaN": Fault(0.5, HOLD, 0.15, action=lambda action: action * np.nan),
    "action of another width": Fault(0.5, HOLD, 0.15, action=lambda action: action[:3]),
    "action far beyond limits": Fault(2.0, KEEP, action=lambda action: np.sign(action) * np.float32(1e6)),
    "action late": Fault(1.5, HOLD, 0.15, late_s=0.7),
}
# A reading is stale after 50 ms; then the arm brakes, which a joint at 1.5 rad/s does in 150 ms.
FAKE = SHARED | {
    "link frozen for a moment": Fault(0.3, HOLD, 0.25, arm=lambda window: ArmFaults(stale=window)),
    "link frozen": Fault(2.0, FAULT, 0.25, arm=lambda window: ArmFaults(stale=window)),
    "device clock stands still": Fault(2.0, FAULT, 0.25, arm=lambda window: ArmFaults(frozen_clock=window)),
    "arm reads NaN": Fault(2.0, FAULT, 0.25, arm=lambda window: ArmFaults(nan=window)),
    "port gone": Fault(1.0, FAULT, 0.05, arm=lambda window: ArmFaults(write_error=window)),
}
SERVOS = SHARED | {
    "servo silent for a moment": Fault(0.2, HOLD, 0.12, servos=lambda w, id: ServoFaults(silent={id: w})),
    "servo silent": Fault(1.0, FAULT, 0.12, servos=lambda w, id: ServoFaults(silent={id: w})),
    "one answer in a hundred broken": Fault(20.0, GO_ON, servos=lambda w, id: ServoFaults(lossy=(w, 0.01))),
    "three answers in ten broken": Fault(3.0, FAULT, 0.5, servos=lambda w, id: ServoFaults(lossy=(w, 0.3))),
    "bytes before answers": Fault(5.0, GO_ON, servos=lambda w, id: ServoFaults(noise=w)),
    "id conflict": Fault(1.0, FAULT, 0.06, servos=lambda w, id: ServoFaults(twice={id: w})),
    "overload": Fault(1.5, HOLD, 0.25, servos=lambda w, id: ServoFaults(errors={id: (w, 1 << 5)})),
    "encoder error": Fault(1.0, FAULT, 0.25, servos=lambda w, id: ServoFaults(errors={id: (w, 1 << 3)})),
    "hot": Fault(3.0, HOLD, 0.25, servos=lambda w, id: ServoFaults(told={(id, "present_temperature"): (w, 67)})),
    "supply sags": Fault(2.0, HOLD, 0.25, servos=lambda w, id: ServoFaults(told={(id, "present_voltage"): (w, 60)})),
    "torque gone": Fault(0.4, FAULT, 0.25, servos=lambda w, id: ServoFaults(limp={id: w})),
    "goals lost for a moment": Fault(0.06, GO_ON, servos=lambda w, id: ServoFaults(unwritten=w)),
}


# --------------------------------------------------------------------------- the rig


class _Eye:
    """A camera between, which a fault may change."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.change: Callable[[CameraFrame], CameraFrame] | None = None

    @property
    def name(self) -> str:
        return self._inner.name

    def read(self) -> CameraFrame:
        frame = self._inner.read()
        return frame if self.change is None else self.change(frame)

    def close(self) -> None:
        self._inner.close()


@dataclasses.dataclass
class Outcome:
    """What became of one fault."""

    kind: str
    began_s: float
    since_s: float = 0.0
    """When it began, or, if it still lasted then, when the arm was last begun anew."""
    stood_s: float = 0.0
    """How long after that commands still moved anything, at most, while it lasted."""
    latched: str = ""
    """The fault that was."""
    went_on_s: float = math.nan
    """When the arm moved again."""
    told: str = ""
    """What the arm did last, and what stood in its way."""


class Rig:
    """One arm in its loop, with all that it needs to go wrong, and to be begun anew."""

    def __init__(self, name: str, clock: Clock, seed: int) -> None:
        self.clock, self._begun_s = clock, clock.now()
        self.generator = np.random.default_rng(seed)
        self._fake: FakeArm | None = None
        self._servos: EmulatedServos | None = None
        if name == "fake":
            robot = loopback_robot(clock, TABLETOP_PANDA)
            assert isinstance(robot.arm, FakeArm)
            self._fake, self.faults = robot.arm, FAKE
        else:
            robot, self._servos = loopback_servos(clock, TABLETOP_PANDA)
            self.faults = SERVOS
        resolution_rad = 0.0 if self._servos is None else MODELS["sts3215"].rad_per_tick
        self._check = AppliedCheck(robot.arm.spec, resolution_rad=resolution_rad)
        self._eye = _Eye(robot.cameras[-1])
        self.arm = LoggedArm(robot.arm, clock, self._hear)
        robot = dataclasses.replace(robot, arm=self.arm, cameras=(*robot.cameras[:-1], self._eye))
        self._environment = ArmEnvironment(robot, clock, BOX, duration_s=1e9)
        self._environment.on_step = self._note_step
        self._last: np.ndarray | None = None
        self._way = np.zeros(5, np.float32)
        self.current: Outcome | None = None
        self._fault: Fault | None = None
        self._ends_s = -math.inf
        self.counts: collections.Counter[str] = collections.Counter()
        self.began_anew()

    @property
    def elapsed_s(self) -> float:
        return self.clock.now() - self._begun_s

    # ------------------------------------------------------------------ going on

    def step(self) -> None:
        """One control step; where it ends in an error, a person looks, acknowledges and begins anew."""
        self._heed_end()
        fault = self._fault
        if fault is not None and fault.late_s:
            self._sleep(fault.late_s)
        action = self._wander()
        try:
            self._environment.step(action if fault is None or fault.action is None else fault.action(action))
            self.counts["steps"] += 1
        except (ActionError, ObservationError, ArmError) as error:
            self.counts[type(error).__name__] += 1
            self._sleep(_LOOK_S)
            self._begin_anew()

    def began_anew(self) -> bool:
        """Whether the arm takes commands again."""
        try:
            if self.arm.mode is ArmMode.FAULT:
                self.arm.acknowledge(self.arm.read().fault or "")
            self._environment.reset(SPEC)
        except VlaError:
            return False
        if self.current is not None and self._fault is not None:
            self.current.since_s = self.elapsed_s
        return True

    def _begin_anew(self) -> None:
        given_up_s = self.clock.now() + _GIVE_UP_S
        while not self.began_anew():
            self._heed_end()
            self._sleep(_LOOK_S)
            if self.clock.now() > given_up_s:
                raise AssertionError(f"at {self.elapsed_s:.1f} s the arm was not brought back within {_GIVE_UP_S} s")

    def _wander(self) -> np.ndarray:
        if self.generator.random() < 0.1:
            self._way[:4] = self.generator.uniform(-0.008, 0.008, 4)
            self._way[4] = self.generator.random()
        return self._way.copy()

    def _sleep(self, seconds: float) -> None:
        self.clock.sleep_until(self.clock.now() + seconds)

    # ------------------------------------------------------------------ going wrong

    def strike(self, kind: str) -> None:
        """Let something go wrong from now on."""
        fault = self._fault = self.faults[kind]
        self.current = Outcome(kind, self.elapsed_s, self.elapsed_s)
        window = Window(self.elapsed_s, self.elapsed_s + fault.lasts_s)
        self._ends_s = window.end_s
        if fault.arm is not None and self._fake is not None:
            self._fake.faults = fault.arm(window)
        if fault.servos is not None and self._servos is not None:
            self._servos.faults = fault.servos(window, int(self.generator.integers(1, 8)))
        self._eye.change = fault.camera

    def _heed_end(self) -> None:
        if self._fault is not None and self.elapsed_s >= self._ends_s:
            self._fault, self._eye.change = None, None

    def _hear(self, entry: Entry) -> None:
        self._check.hear(entry)
        self.counts["commands"] += entry.applied is not None
        self.counts["acknowledged"] += entry.verb == "acknowledge"
        if entry.after is ArmMode.FAULT and entry.before is not ArmMode.FAULT:
            self.counts["faults"] += 1
            if self.current is not None:
                self.current.latched = entry.text
        if entry.applied is not None:
            self._note_motion(entry.applied.positions)

    def _note_step(self, report: StepReport) -> None:
        if self.current is not None:
            reasons = "; ".join(reason.text for reason in report.reasons) or "nothing in its way"
            self.current.told = f"{report.mode.value}, asked for {report.asked.tolist()}: {reasons}"

    def _note_motion(self, positions: np.ndarray) -> None:
        moves = self._last is not None and not np.array_equal(positions, self._last)
        self._last = positions
        if not moves or self.current is None:
            return
        if self._fault is not None and self.elapsed_s < self._ends_s:
            self.current.stood_s = max(self.current.stood_s, self.elapsed_s - self.current.since_s)
        elif math.isnan(self.current.went_on_s) and self.elapsed_s >= self._ends_s:
            self.current.went_on_s = self.elapsed_s


# --------------------------------------------------------------------------- an hour


def run(name: str, minutes: float, seed: int, *, every_s: float = 60.0, clock: Clock | None = None) -> dict[str, Any]:
    """Move for so long, with a fault at a random moment of each `every_s`, and say what became of all.

    Raises:
        AssertionError: where an invariant is broken, with the time and what it was.
    """
    clock = clock or VirtualClock()
    rig, began_s, cpu_s = Rig(name, clock, seed), time.monotonic(), time.process_time()
    outcomes: list[Outcome] = []
    memory: list[tuple[float, int, int]] = []
    kinds: list[str] = []
    for index in track(range(round(60 * minutes / every_s)), f"soak, {name}", transient=True):
        kinds = kinds or list(rig.generator.permutation(list(rig.faults)))
        kind = kinds.pop()
        # Early enough that it is over, and the arm brought back, before the next.
        strikes_s = index * every_s + float(rig.generator.uniform(0.05, 0.45)) * every_s
        while rig.elapsed_s < strikes_s:
            rig.step()
        rig.strike(kind)
        while rig.elapsed_s < (index + 1) * every_s:
            rig.step()
        assert rig.current is not None
        _judge(rig.current, rig.faults[kind])
        outcomes.append(rig.current)
        gc.collect()
        memory.append((rig.elapsed_s / 60, _resident_bytes(), sys.getallocatedblocks()))
    return {
        "rig": name,
        "minutes": minutes,
        "seed": seed,
        "clock": "virtual" if isinstance(clock, VirtualClock) else "real",
        "faults_struck": len(outcomes),
        "invariants_broken": 0,
        "counts": dict(rig.counts),
        "faults": _by_kind(outcomes, rig.faults),
        "memory": _memory(memory),
        "wall_seconds": round(time.monotonic() - began_s, 1),
        "process_seconds": round(time.process_time() - cpu_s, 1),
    }


def _judge(outcome: Outcome, fault: Fault) -> None:
    """Raise if the loop has not made of a fault what it must."""
    at = f"'{outcome.kind}' at {outcome.began_s:.3f} s"
    if outcome.stood_s > fault.within_s:
        raise AssertionError(f"{at}: the arm was still moving {outcome.stood_s:.3f} s later, over {fault.within_s} s")
    if fault.expected is Expected.FAULT and not outcome.latched:
        raise AssertionError(f"{at}: no fault was latched")
    if fault.expected is Expected.GO_ON and outcome.latched:
        raise AssertionError(f"{at}: a fault was latched, and nothing called for one: {outcome.latched}")
    if math.isnan(outcome.went_on_s):
        raise AssertionError(f"{at}: the arm has not moved since it was over; {outcome.told}")


def _by_kind(outcomes: Sequence[Outcome], faults: dict[str, Fault]) -> dict[str, Any]:
    """For each kind: how often, what was asked, and the longest time until the arm stood."""
    found = {}
    for kind, fault in faults.items():
        times = [outcome.stood_s for outcome in outcomes if outcome.kind == kind]
        found[kind] = {
            "times": len(times),
            "expected": fault.expected.value,
            "latched": sum(bool(o.latched) for o in outcomes if o.kind == kind),
            "stood_after_s": None if math.isinf(fault.within_s) or not times else round(max(times), 3),
            "limit_s": None if math.isinf(fault.within_s) else fault.within_s,
        }
    return found


def _memory(samples: Sequence[tuple[float, int, int]]) -> dict[str, Any]:
    """Growth a minute by a straight line through what was measured once warm; none where there is too little of it."""
    warm = [sample for sample in samples if sample[0] > _WARM_MINUTES]
    grows = {}
    for column, name in ((1, "resident_bytes"), (2, "allocated_blocks")):
        slope = float(np.polyfit([s[0] for s in warm], [s[column] for s in warm], 1)[0]) if len(warm) > 5 else None
        grows[f"{name}_a_minute"] = None if slope is None else round(slope, 1)
        grows[f"{name}_at_the_end"] = samples[-1][column]
    return grows


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def measurements(_: str | None) -> dict[str, object]:
    """A virtual hour on each rig."""
    logging.getLogger("vla.robot_io").setLevel(logging.ERROR)
    results = [run(name, MINUTES, SEED) for name in RIGS]
    for result in results:
        print(told(result))
    return {"soaks": results}


def told(result: dict[str, Any]) -> str:
    """In one line."""
    memory = result["memory"]
    return (
        f"soak: {result['rig']}, {result['minutes']:g} {result['clock']} minutes, {result['faults_struck']} faults, "
        f"{result['counts'].get('commands', 0)} commands, no invariant broken, "
        f"memory grows {memory['resident_bytes_a_minute']} bytes, {memory['allocated_blocks_a_minute']} blocks a minute"
    )


def main(arguments: Sequence[str]) -> int:
    """`rig=fake|servos minutes=N seed=N every_s=N clock=virtual|real`, printed as JSON."""
    options = dict(argument.split("=", 1) for argument in arguments)
    clock = RealClock() if options.get("clock") == "real" else None
    logging.getLogger("vla.robot_io").setLevel(logging.ERROR)
    for name in [options["rig"]] if "rig" in options else RIGS:
        minutes, every_s = float(options.get("minutes", MINUTES)), float(options.get("every_s", 60.0))
        result = run(name, minutes, int(options.get("seed", SEED)), every_s=every_s, clock=clock)
        print(json.dumps(result, indent=2))
        print(told(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
