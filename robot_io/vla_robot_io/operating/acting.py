"""Who acted in a run, and how far a human and the policy were apart: figures for its summary.

A person who takes over from a policy *intervenes*; the share of steps in which a human acted is the intervention rate.
In shadow mode a human drives and the policy is only asked: the difference of the two, each control step, is their
*disagreement*, in the units of the action and as a share of each field's range.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float32

from vla.embodiment import Embodiment
from vla_robot_io.operating.operated import Acted
from vla_robot_io.operating.seat import Actor


class Acting:
    """Counts as the run goes on."""

    def __init__(self, embodiment: Embodiment) -> None:
        self._embodiment = embodiment
        self._human = self._policy = self._interventions = 0
        self._before = Actor.POLICY
        self._gaps: list[Float32[np.ndarray, " action_dim"]] = []

    @property
    def human_share(self) -> float:
        """Of all steps in which somebody acted, those in which a human did."""
        return self._human / max(1, self._human + self._policy)

    @property
    def num_interventions(self) -> int:
        """How often a human took the arm after a policy had it, or at the beginning."""
        return self._interventions

    @property
    def last_gap(self) -> Float32[np.ndarray, " action_dim"] | None:
        """The newest disagreement; None outside of shadow mode."""
        return self._gaps[-1] if self._gaps else None

    def add(self, acted: Acted) -> None:
        """One control step in which somebody acted."""
        is_human = acted.actor is Actor.HUMAN
        self._human += is_human
        self._policy += not is_human
        self._interventions += is_human and self._before is not Actor.HUMAN
        self._before = acted.actor
        if acted.policy_action is not None:
            self._gaps.append(np.abs(acted.policy_action - acted.transition.applied))

    def figures(self) -> dict[str, Any]:
        """For the summary; nothing where the policy acted alone."""
        if not self._human:
            return {}
        counts = {"count": self._interventions, "human_steps": self._human, "policy_steps": self._policy}
        told: dict[str, Any] = {"interventions": {**counts, "rate": self.human_share}}
        return (told if self._policy else {"human_steps": self._human}) | (
            {"shadow": self._disagreement()} if self._gaps else {}
        )

    def _disagreement(self) -> dict[str, Any]:
        gaps = np.stack(self._gaps)
        shares = gaps / (self._embodiment.action_high - self._embodiment.action_low)
        fields = {
            field.name: {
                "unit": field.unit,
                "mean": float(gaps[:, index].mean()),
                "p95": float(np.percentile(gaps[:, index], 95)),
                "share_of_range": float(shares[:, index].mean()),
            }
            for index, field in enumerate(self._embodiment.action)
        }
        return {"steps": len(gaps), "mean_share_of_range": float(shares.mean()), "fields": fields}
