"""A million random command sequences through the safety envelope and the governor: what leaves them obeys every limit.

    twenty random commands ─► Envelope.judge ─► Governor.follow, or brake where it is refused ─► positions sent
       NaN, infinities, denormals, huge,              │                                              │
       jumps, wrong types, wrong widths               └─ finite? in its limits? one step at most? ───┴─ and speed,
                                                                                       acceleration, jerk; ends at rest?

Kinematics and clearance are the real ones. Sequence i depends on the seed and on i alone, so a failure repeats:
`run_sequence(BENCHES[i % len(BENCHES)], seed, i, Counts())`. Finished shards are kept in `results/`, and a run that was
killed goes on after them, unless the code under test has changed.

`python -m benchmarks envelope_fuzz` shares them among as many processes as there are cores, or as the environment says:
`ENVELOPE_FUZZ_PROCESSES=2 python -m benchmarks envelope_fuzz`. With other numbers:
`python -m benchmarks.envelope_fuzz sequences=10000 processes=2`
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

import vla.clearance
import vla_robot_io.envelope
import vla_robot_io.governor
import vla_robot_io.limits
from vla.clearance import ArmClearance
from vla.errors import ActionError, ConfigError
from vla.interfaces import ArmSpec
from vla.kinematics import ArmKinematics
from vla_robot_io.envelope import Envelope, Outcome, Setpoint
from vla_robot_io.governor import Governor, MotionLimits
from vla_robot_io.limits import EnvelopeConfig, Limits, limits_of
from vla_robot_io.punctuality import tell_of_death

SEQUENCES, COMMANDS, SHARD, SEED = 1_000_000, 20, 5_000, 20_261_121
SHARDS_FILE = Path(__file__).parent / "results" / "envelope_fuzz.partial.jsonl"
EXTREMES = np.array(
    [np.nan, np.inf, -np.inf, 1.797e308, -1.797e308, 1e300, -1e30, 5e-324, -5e-324, 2.2e-308, -0.0, 0.0, 1e9, -1e9]
)
KINDS = ("near", "fast", "jump", "anywhere", "beyond", "extreme", "one_extreme", "wrong_type", "wrong_width")
SHARES = np.array([0.42, 0.14, 0.05, 0.05, 0.06, 0.06, 0.12, 0.05, 0.05])
"""How often a command is of each kind: most are near, so that sequences get somewhere before they are disturbed."""
_KEPT_FAILURES, _MOST_BRAKING = 20, 2_000
_ROUNDING_RAD = 1e-12
"""At rest the last bit may still change: once in a million sequences it did, by 3e-17 rad."""
PROCESSES = "ENVELOPE_FUZZ_PROCESSES"
"""In the environment: among how many processes the sequences are shared; among as many as there are cores if unset."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """One arm under one configuration."""

    name: str
    arm: str
    rate_hz: float
    speed_factor: float
    acceleration: float
    """rad/s^2, of every joint"""
    jerk: float
    """rad/s^3"""


BENCHES = (
    Bench("panda", "panda", 100.0, 1.0, 7.5, 3750.0),
    Bench("panda, slow", "panda", 100.0, 0.2, 7.5, 75.0),
    Bench("so101", "so101", 50.0, 0.5, 20.0, 400.0),
)


@dataclasses.dataclass
class Counts:
    """What became of many sequences."""

    sequences: int = 0
    commands: int = 0
    refused_as_wrong: int = 0
    """Commands of another type or width: refused by an error of ours."""
    outcomes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    kinds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    failures: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    """By the limit that was broken: empty if all is well."""
    examples: list[str] = dataclasses.field(default_factory=list)
    """The first few, with the number of the sequence that repeats it."""

    def add(self, other: Counts) -> None:
        """Count another lot in."""
        for name in ("sequences", "commands", "refused_as_wrong"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("outcomes", "kinds", "failures"):
            getattr(self, name).update(getattr(other, name))
        self.examples = [*self.examples, *other.examples][:_KEPT_FAILURES]

    def fail(self, index: int, what: str) -> None:
        """Note a limit that was broken."""
        self.failures[what] += 1
        if len(self.examples) < _KEPT_FAILURES:
            self.examples.append(f"sequence {index}: {what}")


# --------------------------------------------------------------------------- one sequence


@dataclasses.dataclass(frozen=True)
class Rig:
    """What one process needs to run sequences on one bench."""

    spec: ArmSpec
    limits: Limits
    motion: MotionLimits
    envelope: Envelope
    governor: Governor
    period_s: float
    rest: np.ndarray
    """rad"""


@functools.cache
def rig_of(bench: Bench) -> Rig:
    """Envelope, governor and kinematics of a bench; they hold scratch memory, so one a process."""
    kinematics = ArmKinematics(bench.arm)
    spec = _spec_of(kinematics, bench.arm, bench.rate_hz)
    box = {"panda": ([-0.3, -0.6, 0.01], [0.8, 0.6, 0.9]), "so101": ([-0.2, -0.4, 0.01], [0.5, 0.4, 0.5])}[bench.arm]
    limits = limits_of(spec, EnvelopeConfig(*box, floor_m=0.01, speed_factor=bench.speed_factor))
    joints = len(spec.joints)
    motion = MotionLimits(
        low=limits.soft_low,
        high=limits.soft_high,
        speed=limits.max_step * bench.rate_hz,
        acceleration=np.full(joints, bench.acceleration),
        jerk=np.full(joints, bench.jerk),
    )
    envelope = Envelope(limits, lambda positions: kinematics.forward(positions)[:3], ArmClearance(bench.arm, []).at)
    period_s = 1.0 / bench.rate_hz
    return Rig(spec, limits, motion, envelope, Governor(motion, period_s), period_s, kinematics.rest_posture)


def _spec_of(arm: ArmKinematics, name: str, rate_hz: float) -> ArmSpec:
    return ArmSpec(
        name=name,
        joints=arm.joints,
        position_low=arm.position_low,
        position_high=arm.position_high,
        max_speed=arm.max_speed,
        max_acceleration=arm.max_acceleration,
        max_jerk=arm.max_jerk,
        gripper_low_m=arm.opening_low_m,
        gripper_high_m=arm.opening_high_m,
        rate_hz=rate_hz,
    )


def run_sequence(bench: Bench, seed: int, index: int, counts: Counts) -> np.ndarray:
    """Put one sequence through, count what became of it, and give what was sent: (commands, joints), rad."""
    rig = rig_of(bench)
    generator = np.random.default_rng([seed, index])
    governor, envelope, limits = rig.governor, rig.envelope, rig.limits
    kinds = generator.choice(len(KINDS), COMMANDS, p=SHARES)
    start = _start(rig, generator)
    governor.start(start)
    path, gripper_m = [start], float(generator.uniform(0, limits.gripper_high_m))
    refused: tuple[float, ...] = ()
    shares = generator.uniform(-1, 1, (COMMANDS, len(rig.spec.joints)))
    answers: list[Setpoint] = []
    lasts: list[np.ndarray] = []
    counts.kinds.update(KINDS[kind] for kind in kinds)
    for tick, kind in enumerate(kinds):
        last = Setpoint(governor.motion.positions, gripper_m)
        asked = _asked(KINDS[kind], last, rig, shares[tick], generator)
        try:
            verdict = envelope.judge(asked, last, now_s=tick * rig.period_s, refused_at_s=refused)
        except ActionError:
            counts.refused_as_wrong += 1
            path.append(governor.brake().positions)
            continue
        refused = () if verdict.outcome is Outcome.FAULT else verdict.refused_at_s
        counts.outcomes[verdict.outcome.value] += 1
        answers.append(verdict.setpoint)
        lasts.append(last.positions)
        gripper_m = verdict.setpoint.gripper_m
        if verdict.outcome in (Outcome.PASS, Outcome.CLAMP):
            path.append(governor.follow(verdict.setpoint.positions).motion.positions)
        else:
            path.append(governor.brake().positions)
    counts.sequences += 1
    counts.commands += COMMANDS
    for what in wrong_answers(answers, lasts, limits):
        counts.fail(index, what)
    for what in wrong_path(_until_rest(governor, path), rig.motion, rig.period_s):
        counts.fail(index, what)
    return np.array(path)


def _start(rig: Rig, generator: np.random.Generator) -> np.ndarray:
    """Anywhere, or, as often, around where arms rest: there the way is free."""
    low, high, share = rig.limits.soft_low, rig.limits.soft_high, generator.uniform(0, 1, len(rig.rest))
    if generator.integers(2):
        return low + share * (high - low)
    return np.clip(rig.rest + share - 0.5, low, high)


def _until_rest(governor: Governor, path: list[np.ndarray]) -> np.ndarray:
    for _ in range(_MOST_BRAKING):
        if governor.is_at_rest:
            break
        path.append(governor.brake().positions)
    return np.array([*path, governor.brake().positions])


def _asked(kind: str, last: Setpoint, rig: Rig, share: np.ndarray, generator: np.random.Generator) -> Setpoint:
    """A command of one kind; `share` is as many numbers between -1 and 1 as there are joints."""
    limits, joints = rig.limits, len(rig.spec.joints)
    gripper_m = 0.04 + 0.06 * float(share[0])
    positions = last.positions
    match kind:
        case "near":
            positions = positions + share * limits.max_step
        case "fast":
            positions = positions + 4 * share * limits.max_step
        case "jump":
            positions = positions + 40 * share * limits.max_step
        case "anywhere":
            positions = limits.soft_low + (share + 1) / 2 * (limits.soft_high - limits.soft_low)
        case "beyond":
            positions = positions + np.sign(share) * 10.0 ** generator.uniform(-3, 4, joints)
        case "extreme":
            positions = EXTREMES[generator.integers(len(EXTREMES), size=joints)]
            gripper_m = float(EXTREMES[generator.integers(len(EXTREMES))])
        case "one_extreme":
            positions = positions + share * limits.max_step
            place, value = generator.integers(joints + 1), float(EXTREMES[generator.integers(len(EXTREMES))])
            if place < joints:
                positions[place] = value
            else:
                gripper_m = value
        case "wrong_type":
            return _of_wrong_type(last, generator)
        case "wrong_width":
            positions = positions[: int(generator.integers(joints))]
    return Setpoint(positions, gripper_m)


def _of_wrong_type(last: Setpoint, generator: np.random.Generator) -> Setpoint:
    """What no caller should hand over, and a bug does."""
    positions, gripper_m = last.positions, last.gripper_m
    wrong: tuple[tuple[Any, Any], ...] = (
        (positions.astype(np.float16), gripper_m),
        (positions.astype(np.float32), gripper_m),
        (positions.astype(np.int64), gripper_m),
        (positions.astype(np.complex128), gripper_m),
        (positions.astype(object), gripper_m),
        (positions.astype(str), gripper_m),
        (positions > 0, gripper_m),
        (positions[None], gripper_m),
        (positions, None),
        (positions, "0.04"),
        (positions, 1j),
        (positions, 10**400),
        (positions, np.float32("nan")),
    )
    made = object.__new__(Setpoint)  # where types are checked as they are made, this one is not
    for name, value in zip(("positions", "gripper_m"), wrong[int(generator.integers(len(wrong)))], strict=True):
        object.__setattr__(made, name, value)
    return made


# --------------------------------------------------------------------------- what must hold


def wrong_answers(answers: Sequence[Setpoint], lasts: Sequence[np.ndarray], limits: Limits) -> Iterator[str]:
    """What the envelope's answers break, each beside the command before it."""
    if not answers:
        return
    positions, last = np.array([answer.positions for answer in answers]), np.array(lasts)
    gripper_m = np.array([answer.gripper_m for answer in answers])
    if not (np.isfinite(positions).all() and np.isfinite(gripper_m).all()):
        yield "the envelope's answer is not finite"
    if not (np.abs(positions - last) <= limits.max_step * (1 + 1e-12)).all():
        yield "the envelope's answer is more than one step away"
    low, high = np.minimum(limits.soft_low, last), np.maximum(limits.soft_high, last)
    if not ((positions >= low) & (positions <= high)).all():
        yield "the envelope's answer lies beyond a soft limit"
    if not ((gripper_m >= limits.gripper_low_m) & (gripper_m <= limits.gripper_high_m)).all():
        yield "the envelope's gripper lies beyond its range"


def wrong_path(path: np.ndarray, limits: MotionLimits, period_s: float) -> Iterator[str]:
    """The limits that a path, (commands, joints) in rad from rest to rest, breaks."""
    if not np.isfinite(path).all():
        yield "what is sent is not finite"
        return
    if not ((path >= limits.low - 1e-9) & (path <= limits.high + 1e-9)).all():
        yield "what is sent lies beyond a joint limit"
    if not (np.abs(path[-1] - path[-2]) <= _ROUNDING_RAD).all():
        yield "what is sent does not come to rest"
    path = np.concatenate([path[:1].repeat(3, 0), path])
    for order, (name, most, slack) in enumerate(
        (("speed", limits.speed, 1e-9), ("acceleration", limits.acceleration, 1e-6), ("jerk", limits.jerk, 1e-3)), 1
    ):
        path = np.diff(path, axis=0)
        if not (np.abs(path) <= most * period_s**order * (1 + slack) + 1e-14).all():
            yield f"what is sent goes beyond the limit of {name}"


# --------------------------------------------------------------------------- many of them


def run_shard(seed: int, first: int, number: int) -> Counts:
    """Sequences `first` to `first + number - 1`."""
    counts = Counts()
    for index in range(first, first + number):
        run_sequence(BENCHES[index % len(BENCHES)], seed, index, counts)
    return counts


def fuzz(sequences: int, processes: int, *, seed: int = SEED, keep: Path | None = None) -> dict[str, Any]:
    """Run them all, in shards that are kept in a file as they end, and give the counts as JSON values."""
    code, begin = code_hash(), time.monotonic()
    done = _kept(keep, code, seed)
    firsts = [first for first in range(0, sequences, SHARD) if first not in done]
    total, seconds = Counts(), 0.0
    for counts, took_s in done.values():
        total.add(counts)
        seconds += took_s
    shards = [(seed, first, min(SHARD, sequences - first)) for first in firsts]
    for first, counts, took_s in track(_ended(shards, processes), "fuzzing", total=len(shards), transient=True):
        total.add(counts)
        seconds += took_s
        if keep is not None:
            _keep(keep, {"code": code, "seed": seed, "first": first, "seconds": took_s, **_as_json(counts)})
    return {
        **_as_json(total),
        "commands_a_sequence": COMMANDS,
        "seed": seed,
        "code": code,
        "benches": [dataclasses.asdict(bench) for bench in BENCHES],
        "process_seconds": round(seconds, 1),
        "wall_seconds_of_this_run": round(time.monotonic() - begin, 1),
        "processes": processes,
        "us_a_command": round(1e6 * seconds / max(total.commands, 1), 1),
    }


def measurements(_: str | None) -> dict[str, object]:
    """A million sequences, on every core; what is done already is not done again."""
    result = fuzz(SEQUENCES, num_processes(os.environ), keep=SHARDS_FILE)
    SHARDS_FILE.unlink(missing_ok=True)
    print(told(result))
    return result


def num_processes(environment: Mapping[str, str]) -> int:
    """How many processes share the work.

    Raises:
        ConfigError: if the environment asks for something else than a number of them.
    """
    asked = environment.get(PROCESSES, "")
    if not asked:
        return len(os.sched_getaffinity(0))
    if not asked.isdecimal() or int(asked) < 1:
        raise ConfigError(f"{PROCESSES} is a number of processes, at least 1; got '{asked}'")
    return int(asked)


def told(result: dict[str, Any]) -> str:
    """In one line."""
    failures = ", ".join(f"{name}: {count}" for name, count in result["failures"].items()) or "no limit broken"
    return (
        f"envelope_fuzz: {result['sequences']} sequences of {COMMANDS} commands, {failures}; "
        f"{result['us_a_command']} us a command"
    )


def code_hash() -> str:
    """Of what is under test, and of this file."""
    modules = (vla.clearance, vla_robot_io.envelope, vla_robot_io.governor, vla_robot_io.limits)
    files = [Path(str(module.__file__)) for module in modules] + [Path(__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _ended(shards: Sequence[tuple[int, int, int]], processes: int) -> Iterator[tuple[int, Counts, float]]:
    """Shards as they end."""
    if processes == 1:
        yield from (_timed_shard(*shard) for shard in shards)
        return
    # Forked children would share MuJoCo's and Ruckig's state.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        processes, mp_context=context, initializer=end_with, initargs=(os.getpid(),)
    ) as pool:
        waiting = [pool.submit(_timed_shard, *shard) for shard in shards]
        yield from (future.result() for future in concurrent.futures.as_completed(waiting))


def end_with(parent: int) -> None:
    """Have this process killed when the one that started it ends, however that ends.

    Args:
        parent: its number; this process ends at once if it has ended by now.
    """
    tell_of_death(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _timed_shard(seed: int, first: int, number: int) -> tuple[int, Counts, float]:
    begin = time.process_time()
    counts = run_shard(seed, first, number)
    return first, counts, time.process_time() - begin


def _kept(file: Path | None, code: str, seed: int) -> dict[int, tuple[Counts, float]]:
    if file is None or not file.exists():
        return {}
    found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    names = [field.name for field in dataclasses.fields(Counts)]
    return {
        shard["first"]: (_counts({name: shard[name] for name in names}), shard["seconds"])
        for shard in found
        if (shard["code"], shard["seed"]) == (code, seed)
    }


def _counts(values: dict[str, Any]) -> Counts:
    counters = {name: collections.Counter(values[name]) for name in ("outcomes", "kinds", "failures")}
    return Counts(**{**values, **counters})


def _as_json(counts: Counts) -> dict[str, Any]:
    return {name: dict(v) if isinstance(v, collections.Counter) else v for name, v in vars(counts).items()}


def _keep(file: Path, shard: dict[str, Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(shard) + "\n")


def main(arguments: Sequence[str]) -> int:
    """`sequences=N processes=N`: so many, printed; the exit status is 3 if a limit was broken."""
    options = dict(argument.split("=", 1) for argument in arguments)
    processes = int(options.get("processes", 0)) or num_processes(os.environ)
    result = fuzz(int(options.get("sequences", SEQUENCES)), processes, keep=SHARDS_FILE)
    print(json.dumps(result, indent=2))
    print(told(result))
    return 3 if result["failures"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
