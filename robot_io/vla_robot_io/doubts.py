"""What no good policy asks for, though every limit would be kept: the arm is slowed down, or held with the reason.

    action ──► swings from limit to limit? ──────────► half as fast, then HOLD     a policy that is unstable
           ──► lies beyond the embodiment's limits? ─► HOLD                        wrong statistics
    way    ──► leads into a wall of the box? ────────► HOLD after half a second    another table, another frame
           ──► leads to a singular posture? ─────────► slower, then HOLD           joints hurry, the hand does not

All of it is counted in control steps, by what was asked: a run that is done again from its log comes out the same. The
next good action goes on. Nothing here is safety-rated.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float32, Float64

from vla.embodiment import Embodiment
from vla.errors import ConfigError
from vla_robot_io.reasons import Code, Reason

_POSE = slice(0, 4)
"""The numbers of an action that move the hand: an open or shut gripper is no swing."""
_WIDE, _FAR, _INTO = 0.5, 0.1, 0.25
"""A swing is this part of a limit wide on both sides; beyond is farther than this part of the range; and into a wall is
this part of an axis's largest step, and most of the way asked for."""
_MOST = 0.75
_SLOWED, _SLOWEST = 0.5, 0.1
_GOOD = 0.5
"""A posture is a good one below this part of where the arm is slowed down."""

Conditioning = Callable[[Float64[np.ndarray, " joints"]], float]
"""How much harder it is to move the hand in its hardest direction than at rest."""


@dataclasses.dataclass
class DoubtConfig:
    """When the loop stops trusting what it is asked for."""

    swings_to_slow: int = 4
    """Half as fast where the hand is sent from one limit to the opposite this often ..."""
    swings_to_hold: int = 6
    """... and held where this often ..."""
    swing_steps: int = 8
    """... within so many control steps."""
    beyond_share: float = 0.5
    """Hold where more than this part ..."""
    beyond_steps: int = 20
    """... of so many actions lies beyond the embodiment's limits."""
    unseen_steps: int = 20
    """Hold where the median of so many readings of a number of the state lies beyond all that training saw ..."""
    unseen_margin: float = 0.5
    """... by more than this part of the way between its quantiles 0.01 and 0.99 there."""
    pressing_s: float = 0.5
    """Hold where the hand was sent against a wall of its box for longer than this, s at full speed."""
    singular_slow: float = 4.0
    """Slow down where the arm's Jacobian is this many times as ill-conditioned as in its rest posture ..."""
    singular_hold: float = 6.0
    """... and hold where this many times."""


@dataclasses.dataclass(frozen=True)
class Doubt:
    """A reason to go only a part of the way."""

    reason: Reason
    pace: float
    """The part of the way that is gone; 0 holds."""


@dataclasses.dataclass(frozen=True)
class Way:
    """What one action comes to."""

    action: Float32[np.ndarray, " action_dim"]
    """As it was asked for, finite."""
    here: Float64[np.ndarray, " joints"]
    target: Float64[np.ndarray, " joints"]
    kept_inside: Sequence[Reason] = ()
    """What had to be changed about it."""


class Doubts:
    """Looks at every action that would be carried out."""

    def __init__(self, embodiment: Embodiment, config: DoubtConfig, conditioning: Conditioning | None = None) -> None:
        """Begin with a policy that is trusted.

        Args:
            embodiment: whose actions these are.
            config: checked here.
            conditioning: of the arm; singular postures are not watched if not given.

        Raises:
            ConfigError: naming the number that limits nothing.
        """
        _check(config)
        self._config = config
        self._swings = _Swings(embodiment, config)
        self._range = _Range(embodiment, config)
        self._walls = _Walls(embodiment, config)
        self._conditioning = conditioning

    def forget(self) -> None:
        """Begin anew, as with an episode."""
        for watch in (self._swings, self._range, self._walls):
            watch.forget()

    def look(self, way: Way) -> tuple[Doubt, ...]:
        """What speaks against going this way as asked."""
        found = (
            self._swings.look(way.action),
            self._range.look(way.action),
            self._walls.look(way),
            self._singular(way),
        )
        return tuple(doubt for doubt in found if doubt is not None)

    def _singular(self, way: Way) -> Doubt | None:
        """As everywhere there is a way back: what leads to a better posture is left alone, if it gets there at all.

        Near a singular posture, inverse kinematics of what is out of reach ends anywhere. From a good posture it is
        not reached in one step: what asks for that is a jump, and the envelope's to judge.
        """
        if self._conditioning is None or not np.isfinite(way.target).all():
            return None
        here, there = self._conditioning(way.here), self._conditioning(way.target)
        if here < _GOOD * self._config.singular_slow:
            return None
        is_lost = any(reason.code is Code.UNREACHABLE for reason in way.kept_inside)
        times, slow, hold = max(here, there), self._config.singular_slow, self._config.singular_hold
        if times < slow or (there <= here and not is_lost):
            return None
        is_held = is_lost or there >= hold
        limit, done = (slow if is_lost else hold, "held") if is_held else (slow, "slowed down")
        text = f"the arm comes to a singular posture: {times:.1f} times as ill-conditioned as at rest, over {limit:g}"
        pace = 0.0 if is_held else max(_SLOWEST, (hold - times) / (hold - slow))
        return Doubt(Reason(Code.SINGULARITY, "posture", times, limit, f"{text}: {done}"), pace)


class _Swings:
    """How often each number went from one limit to the opposite."""

    def __init__(self, embodiment: Embodiment, config: DoubtConfig) -> None:
        self._names = [field.name for field in embodiment.action[_POSE]]
        self._wide = _WIDE * np.maximum(np.abs(embodiment.action_low), np.abs(embodiment.action_high))[_POSE]
        self._config = config
        self.forget()

    def forget(self) -> None:
        self._recent: collections.deque[Bool[np.ndarray, " 4"]] = collections.deque(maxlen=self._config.swing_steps)
        self._side = np.zeros(len(self._names))

    def look(self, action: Float32[np.ndarray, " action_dim"]) -> Doubt | None:
        side = np.where(np.abs(action[_POSE]) >= self._wide, np.sign(action[_POSE]), 0.0)
        self._recent.append(side * self._side < 0)
        self._side = side
        counts = np.sum(self._recent, axis=0)
        worst = int(counts.argmax())
        count, config = int(counts[worst]), self._config
        if count < config.swings_to_slow:
            return None
        is_held = count >= config.swings_to_hold
        limit, done = (config.swings_to_hold, "held") if is_held else (config.swings_to_slow, "slowed down")
        name, steps = self._names[worst], config.swing_steps
        text = f"action {name} swung between its limits {count} times in {steps} steps, at least {limit}: {done}"
        return Doubt(Reason(Code.SWINGING, name, float(count), float(limit), text), 0.0 if is_held else _SLOWED)


class _Range:
    """How many of the last actions lay beyond the embodiment's limits, by more than rounding or a poor fit would."""

    def __init__(self, embodiment: Embodiment, config: DoubtConfig) -> None:
        self._names = [field.name for field in embodiment.action]
        margin = _FAR * (embodiment.action_high - embodiment.action_low)
        self._low, self._high = embodiment.action_low - margin, embodiment.action_high + margin
        self._config = config
        self.forget()

    def forget(self) -> None:
        self._recent: collections.deque[Bool[np.ndarray, " action_dim"]] = collections.deque(
            maxlen=self._config.beyond_steps
        )

    def look(self, action: Float32[np.ndarray, " action_dim"]) -> Doubt | None:
        self._recent.append((action < self._low) | (action > self._high))
        count = int(np.any(self._recent, axis=1).sum())
        most, steps = self._config.beyond_share * self._config.beyond_steps, self._config.beyond_steps
        if count <= most:
            return None
        name = self._names[int(np.sum(self._recent, axis=0).argmax())]
        text = (
            f"{count} of the last {steps} actions lay beyond the embodiment's limits, {name} most often: held; were "
            f"they normalised by other statistics?"
        )
        return Doubt(Reason(Code.OUT_OF_RANGE, name, float(count), most, text), 0.0)


class _Walls:
    """For how many steps in a row the hand was sent against a wall of its box, and hardly anywhere else."""

    def __init__(self, embodiment: Embodiment, config: DoubtConfig) -> None:
        self._largest = np.maximum(np.abs(embodiment.action_low), np.abs(embodiment.action_high))[:3]
        self._low, self._high = embodiment.action_low[:3], embodiment.action_high[:3]
        self._most_steps = math.ceil(config.pressing_s * embodiment.control_hz)
        self._limit_s, self._control_s = config.pressing_s, 1.0 / embodiment.control_hz
        self.forget()

    def forget(self) -> None:
        self._steps = 0

    def look(self, way: Way) -> Doubt | None:
        walls = [reason for reason in way.kept_inside if reason.code is Code.WORKSPACE]
        self._steps = self._steps + 1 if walls and self._presses(way.action, walls) else 0
        if self._steps <= self._most_steps:
            return None
        name, for_s = walls[0].field, self._steps * self._control_s
        text = f"{name} was sent against the box at {walls[0].limit:.4f} m for {for_s:.2f} s, over {self._limit_s:g} s"
        return Doubt(Reason(Code.PRESSING, name, for_s, self._limit_s, f"{text}: held"), 0.0)

    def _presses(self, action: Float32[np.ndarray, " action_dim"], walls: Sequence[Reason]) -> bool:
        asked = np.clip(action[:3], self._low, self._high)
        lost = math.hypot(*(reason.value - reason.limit for reason in walls))
        return lost >= _INTO * float(self._largest.min()) and lost >= _MOST * float(np.linalg.norm(asked))


def _check(config: DoubtConfig) -> None:
    swings = (config.swings_to_slow, config.swings_to_hold, config.swing_steps)
    singular = (config.singular_slow, config.singular_hold)
    _require("swings_to_slow, swings_to_hold and swing_steps", swings, 1 <= swings[0] <= swings[1] <= swings[2])
    _require("beyond_share", config.beyond_share, 0 < config.beyond_share < 1)
    _require("beyond_steps", config.beyond_steps, config.beyond_steps >= 1)
    _require("unseen_steps", config.unseen_steps, config.unseen_steps >= 1)
    _require("unseen_margin", config.unseen_margin, 0 <= config.unseen_margin < math.inf)
    _require("pressing_s", config.pressing_s, 0 < config.pressing_s < math.inf)
    _require("singular_slow and singular_hold", singular, 1 <= singular[0] < singular[1] < math.inf)


def _require(name: str, value: object, holds: bool) -> None:
    if not holds:
        raise ConfigError(f"control.doubt: {name} limit nothing, or are in the wrong order: got {value}")
