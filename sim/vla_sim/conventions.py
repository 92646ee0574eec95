"""What an environment is said to do with a command, tried out in it: which way the gripper opens, which way +x is.

    declared: gripper 1 is open ──► command 1, then 0 ──► the measured opening ──► opened | inverted | did not move

A wrong sign costs tens of points and raises nothing: policies fail, and it looks as if they were bad ones. So each
declaration is carried out and what is measured is compared with it.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from vla.embodiment import ActionKind, Embodiment
from vla.errors import ConfigError
from vla.interfaces import Environment, EpisodeSpec, Observation

_MOVED_SHARE = 0.02
"""Of a measured field's range: less is no motion."""
_FOLLOWED_SHARE = 0.1
"""Of a commanded motion: less is none."""
_FELT_SHARE = 0.001
"""Of a measured field's range, where it is of another unit than the command."""
_ABSOLUTE_SHARE = 0.1
"""Of an absolute action's range: how far it is commanded away from where it is."""
_DIVIDES = 1e-6


@dataclasses.dataclass(frozen=True, slots=True)
class GripperCheck:
    """Which numbers of an action open and close a gripper, and where its opening is measured."""

    action: str
    opened: float
    closed: float
    measured: str
    """A field of proprioception."""
    grows: bool = True
    """Whether the measured number grows as the gripper opens."""
    steps: int = 20
    """Control steps that opening or closing may take."""


@dataclasses.dataclass(frozen=True, slots=True)
class AxisCheck:
    """Which measured number follows which field of an action."""

    action: str
    measured: str
    steps: int = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Conventions:
    """What of an environment can be tried out."""

    gripper: tuple[GripperCheck, ...] = ()
    axes: tuple[AxisCheck, ...] = ()


class Verdict(enum.Enum):
    """What came of one try."""

    HOLDS = "holds"
    INVERTED = "inverted"
    NO_MOTION = "no motion"
    WRONG_RATE = "wrong rate"
    UNTOLD = "cannot be told"

    @property
    def is_fault(self) -> bool:
        return self not in (Verdict.HOLDS, Verdict.UNTOLD)


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One convention, and what was measured."""

    convention: str
    verdict: Verdict
    detail: str

    def __str__(self) -> str:
        return f"{self.convention}: {self.verdict.value} ({self.detail})"

    def to_json(self) -> dict[str, Any]:
        return {"convention": self.convention, "verdict": self.verdict.value, "detail": self.detail}


@runtime_checkable
class TimedEnvironment(Protocol):
    """An environment whose physics has a clock that can be read."""

    def simulated_s(self) -> float | None:
        """Seconds of physics since the episode began; None if the simulator does not tell."""
        ...

    def physics_dt_s(self) -> float | None:
        """One step of physics; None if the simulator does not tell."""
        ...


def check_names(conventions: Conventions, body: Embodiment) -> None:
    """Return if every convention speaks of fields that the embodiment has.

    Raises:
        ConfigError: naming the field that it has not.
    """
    commanded = {field.name for field in body.action}
    measured = {field.name for field in body.proprioception}
    checks: list[GripperCheck | AxisCheck] = [*conventions.gripper, *conventions.axes]
    for check in checks:
        for kind, name, known in (("action", check.action, commanded), ("measured", check.measured, measured)):
            if name not in known:
                raise ConfigError(
                    f"conventions: {kind} '{name}' is no field of {body.name}: {', '.join(sorted(known))}"
                )


def try_conventions(environment: Environment, spec: EpisodeSpec, conventions: Conventions) -> list[Finding]:
    """What each declared convention does in an episode; first the rate, then the gripper, then the axes."""
    findings = [_rate(environment, spec)]
    findings += [_gripper(environment, spec, check) for check in conventions.gripper]
    findings += [_axis(environment, spec, check) for check in conventions.axes]
    return findings


def require_conventions(where: str, findings: Sequence[Finding]) -> None:
    """Return if nothing that was tried is at fault.

    Args:
        where: which suite, and whose mapping.

    Raises:
        ConfigError: naming each fault.
    """
    faults = [str(finding) for finding in findings if finding.verdict.is_fault]
    if faults:
        raise ConfigError(f"{where} does not do what it declares: {'; '.join(faults)}")


def recorded_conventions(
    episodes: Sequence[tuple[np.ndarray, np.ndarray]], body: Embodiment, conventions: Conventions
) -> list[Finding]:
    """Whether the gripper of recorded episodes opened where it was told to.

    Where the command holds still for a while, the opening afterwards is compared between commands to open and to close.

    Args:
        episodes: (actions, proprioception) of each.
    """
    return [_recorded_gripper(episodes, body, check) for check in conventions.gripper]


def _recorded_gripper(
    episodes: Sequence[tuple[np.ndarray, np.ndarray]], body: Embodiment, check: GripperCheck
) -> Finding:
    commanded, measured = _index(body.action, check.action), _index(body.proprioception, check.measured)
    name = f"recorded gripper '{check.action}'"
    openings: dict[bool, list[float]] = {True: [], False: []}
    middle, wide = (check.opened + check.closed) / 2, abs(check.opened - check.closed)
    for actions, states in episodes:
        is_open = (actions[:, commanded] > middle) == (check.opened > check.closed)
        is_clear = np.abs(actions[:, commanded] - middle) > wide / 4
        for step in range(check.steps, len(states)):
            before = slice(step - check.steps, step)
            if is_clear[before].all() and (is_open[before] == is_open[step - 1]).all():
                openings[bool(is_open[step - 1])].append(float(states[step, measured]))
    if not openings[True] or not openings[False]:
        return Finding(name, Verdict.UNTOLD, f"no command to open and to close was held for {check.steps} steps")
    opened, closed = float(np.median(openings[True])), float(np.median(openings[False]))
    field = body.proprioception[measured]
    change = (opened - closed) * (1.0 if check.grows else -1.0)
    detail = (
        f"median '{check.measured}' {opened:.4g} {field.unit} told to open, {closed:.4g} {field.unit} told to close"
    )
    return Finding(name, _verdict(change, _MOVED_SHARE * (field.high - field.low)), detail)


# --------------------------------------------------------------------------- one each


def _rate(environment: Environment, spec: EpisodeSpec, steps: int = 4) -> Finding:
    """Whether a control step lasts as long as it is said to, in whole steps of physics."""
    body = environment.embodiment
    observation = environment.reset(spec)
    begin = environment.simulated_s() if isinstance(environment, TimedEnvironment) else None
    if begin is None or not isinstance(environment, TimedEnvironment):
        return Finding("rate", Verdict.UNTOLD, "the simulator shows no clock")
    for _ in range(steps):
        observation = environment.step(rest(body, observation)).observation
    end, dt_s = environment.simulated_s(), environment.physics_dt_s()
    measured_s = (math.nan if end is None else end - begin) / steps
    detail = f"control at {body.control_hz:g} Hz is {body.control_dt_s:.6g} s a step, physics took {measured_s:.6g} s"
    ratio = 1.0 if dt_s is None else body.control_dt_s / dt_s
    divides = abs(ratio - round(ratio)) <= _DIVIDES * ratio
    detail += "" if dt_s is None else f" in steps of {dt_s:g} s" + ("" if divides else ", which do not divide it")
    same = math.isclose(measured_s, body.control_dt_s, rel_tol=1e-3)
    return Finding("rate", Verdict.HOLDS if same and divides else Verdict.WRONG_RATE, detail)


def _gripper(environment: Environment, spec: EpisodeSpec, check: GripperCheck) -> Finding:
    """Open, close and open again, at rest otherwise; the last two are compared, from wherever it began."""
    body = environment.embodiment
    observation = environment.reset(spec)
    measured = {}
    for name, value in (("first", check.opened), ("closed", check.closed), ("opened", check.opened)):
        for _ in range(check.steps):
            action = rest(body, observation)
            action[_index(body.action, check.action)] = value
            observation = environment.step(action).observation
        measured[name] = _reading(body, observation, check.measured)
    change = (measured["opened"] - measured["closed"]) * (1.0 if check.grows else -1.0)
    field = body.proprioception[_index(body.proprioception, check.measured)]
    detail = (
        f"commanded open ({check.opened:g}) '{check.measured}' came to {measured['opened']:.4g} {field.unit}, "
        f"commanded closed ({check.closed:g}) to {measured['closed']:.4g} {field.unit}"
    )
    return Finding(f"gripper '{check.action}'", _verdict(change, _MOVED_SHARE * (field.high - field.low)), detail)


def _axis(environment: Environment, spec: EpisodeSpec, check: AxisCheck) -> Finding:
    """There and back along one field; half the difference is what it moved, wherever a limit stopped it."""
    body = environment.embodiment
    observation = environment.reset(spec)
    begin = observation
    readings = [_reading(body, observation, check.measured)]
    commanded = 0.0
    for sign in (1.0, -1.0):
        for _ in range(check.steps):
            action, step = _toward(body, observation, begin, check, sign)
            commanded += step
            observation = environment.step(action).observation
        readings.append(_reading(body, observation, check.measured))
    there, back = readings[1] - readings[0], readings[2] - readings[1]
    moved = (there - back) / 2 if body.action_kind.value.startswith("delta") else -back
    unit = body.action[_index(body.action, check.action)].unit
    field = body.proprioception[_index(body.proprioception, check.measured)]
    commanded = commanded / 2 if body.action_kind.value.startswith("delta") else commanded
    detail = f"commanded {commanded:+.4g} {unit}, '{check.measured}' moved {moved:+.4g} {field.unit}"
    # A torque and the speed that comes of it cannot be compared in size.
    least = _FOLLOWED_SHARE * commanded if unit == field.unit else _FELT_SHARE * (field.high - field.low)
    return Finding(f"axis '{check.action}'", _verdict(moved, least), detail)


def _toward(
    body: Embodiment, now: Observation, begin: Observation, check: AxisCheck, sign: float
) -> tuple[Float32[np.ndarray, " action_dim"], float]:
    """An action along one field, and what share of the commanded motion that is."""
    index = _index(body.action, check.action)
    field = body.action[index]
    if body.action_kind in (ActionKind.DELTA_END_EFFECTOR, ActionKind.DELTA_JOINT):
        action = rest(body, now)
        action[index] = field.high if sign > 0 else field.low
        return action, abs(float(action[index]))
    action = rest(body, begin)
    reach = _ABSOLUTE_SHARE * (field.high - field.low)
    centre = min(max(float(action[index]), field.low + reach), field.high - reach)
    action[index] = centre + sign * reach
    # Two targets, a distance of twice the reach apart.
    return action, reach / check.steps


def rest(body: Embodiment, observation: Observation) -> Float32[np.ndarray, " action_dim"]:
    """The action that moves least: no difference, or the positions that are measured under an action's own names."""
    middle = (body.action_low + body.action_high) / 2
    if body.action_kind in (ActionKind.DELTA_END_EFFECTOR, ActionKind.DELTA_JOINT):
        return np.where(
            body.action_low <= 0, np.minimum(np.maximum(0, body.action_low), body.action_high), middle
        ).astype(np.float32)
    measured = {field.name: index for index, field in enumerate(body.proprioception)}
    for index, field in enumerate(body.action):
        if field.name in measured:
            middle[index] = observation.proprioception[measured[field.name]]
    return np.clip(middle, body.action_low, body.action_high).astype(np.float32)


def _verdict(change: float, least: float) -> Verdict:
    if abs(change) < least:
        return Verdict.NO_MOTION
    return Verdict.HOLDS if change > 0 else Verdict.INVERTED


def _reading(body: Embodiment, observation: Observation, name: str) -> float:
    return float(observation.proprioception[_index(body.proprioception, name)])


def _index(fields: Sequence[Any], name: str) -> int:
    return next(index for index, field in enumerate(fields) if field.name == name)
