"""Whether the arm is in a state that the policy was trained on: each number of it, beside the training's statistics.

    training   low ····· q01 ══════════════ q99 ····· high         what was seen, and 98 % of it
    margin  ├──┤                                          ├──┤     a part of q01 to q99
    live             ▪▪▪▪                                   ▪▪▪▪   beyond most of the time: HOLD

Before there is torque the first reading is looked at: one that lies beyond is refused, as it is in degrees, of another
calibration, or of an arm that stands where no demonstration ever was. In motion, where the *median* of the last
readings of a number lies beyond, the policy acts no more; a human may. How often each number lay outside of its
quantiles 0.01 and 0.99 stands in run.json: 2 % is as in training. Nothing here is safety-rated.
"""

from __future__ import annotations

import collections

import numpy as np
from jaxtyping import Bool, Float32

from vla.errors import ObservationError
from vla.interfaces import Policy, Trained
from vla_robot_io.doubts import DoubtConfig
from vla_robot_io.reasons import Code, Reason

_LEVELS = (0.01, 0.99)


class Familiarity:
    """Beside one run: every state that is seen is looked at. Of a policy that tells no statistics, nothing is said."""

    def __init__(self, policy: Policy | None, config: DoubtConfig, *, may_be_led: bool = False) -> None:
        """Nothing has been seen yet.

        Args:
            policy: that acts, if any.
            config: `unseen_margin` and `unseen_steps`.
            may_be_led: whether the arm is led somewhere else before the policy acts, so that where it stands at first
                says nothing.
        """
        self._statistics = policy.state_statistics if isinstance(policy, Trained) else None
        self._may_be_led = may_be_led
        self._recent: collections.deque[np.ndarray] = collections.deque(maxlen=config.unseen_steps)
        self._steps = 0
        self._low = self._high = self._unusual = np.zeros(0)
        self._usual = (self._low, self._high)
        if self._statistics is None:
            return
        statistics = self._statistics
        low, high = _LEVELS
        self._usual = statistics.quantile(low), statistics.quantile(high)
        margin = config.unseen_margin * (self._usual[1] - self._usual[0])
        self._low, self._high = statistics.low - margin, statistics.high + margin
        self._unusual = np.zeros(statistics.width)

    def require(self, state: Float32[np.ndarray, " state_dim"]) -> None:
        """Return if a policy may begin in this state.

        Raises:
            ObservationError: naming the number that lies farthest from all that was seen in training.
        """
        if self._statistics is None or self._may_be_led:
            return
        worst = self._worst(state)
        if worst is not None:
            raise ObservationError(
                f"{self._told(worst, float(state[worst]))}: the policy would act where it has never been. Move the "
                f"arm, look whether its calibration and units are those of the training, or raise "
                f"control.doubt.unseen_margin"
            )

    def look(self, state: Float32[np.ndarray, " state_dim"]) -> None:
        """Take note of a state."""
        if self._statistics is None:
            return
        self._recent.append(state)
        self._steps += 1
        self._unusual += self._outside(state, *self._usual)

    def objection(self) -> Reason | None:
        """Why nothing that the policy asks for may be carried out now; None if it may."""
        if self._statistics is None or len(self._recent) < (self._recent.maxlen or 1):
            return None
        median = np.median(np.array(self._recent), axis=0)
        worst = self._worst(median)
        if worst is None:
            return None
        low, high = float(self._low[worst]), float(self._high[worst])
        value = float(median[worst])
        text = f"{self._told(worst, value)}, for most of the last {len(self._recent)} steps: held"
        limit = low if value < low else high
        return Reason(Code.UNSEEN_STATE, self._statistics.names[worst], value, limit, text)

    def shares(self) -> dict[str, float]:
        """Of each number, the part of the states that lay outside of its quantiles 0.01 and 0.99 in training."""
        if self._statistics is None or not self._steps:
            return {}
        return dict(zip(self._statistics.names, (self._unusual / self._steps).round(3).tolist(), strict=True))

    def _worst(self, state: np.ndarray) -> int | None:
        """The number that lies beyond what was seen by the largest part of it; None if none does."""
        if not self._outside(state, self._low, self._high).any():
            return None
        beyond = np.maximum(self._low - state, state - self._high) / np.maximum(self._high - self._low, 1e-9)
        # A number that is NaN is farther away than any.
        return int(np.where(np.isfinite(beyond), beyond, np.inf).argmax())

    def _outside(self, state: np.ndarray, low: np.ndarray, high: np.ndarray) -> Bool[np.ndarray, " state_dim"]:
        # Written so that NaN is outside.
        return ~((state >= low) & (state <= high))

    def _told(self, index: int, value: float) -> str:
        assert self._statistics is not None
        name, low, high = self._statistics.names[index], self._statistics.low[index], self._statistics.high[index]
        return f"{name} is {value:.3f}, and in training it was between {low:.3f} and {high:.3f}"
