"""A policy of one's own: its contract, and its success in closed loop.

Usage: python examples/04_write_a_policy.py
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vla.embodiment import Embodiment
from vla.interfaces import ActionChunk, EpisodeSpec, Observation, beginning_with, check_observation
from vla.testing import check_policy
from vla_policies.rollout import rollout
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.environment import TabletopEnvironment


class DownwardPolicy:
    """Goes straight down with an open gripper: right when the target happens to be below."""

    horizon = 4

    @property
    def embodiment(self) -> Embodiment:
        return TABLETOP_PANDA

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        """Nothing is remembered from one step to the next."""

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        return beginning_with([self._chunk(observation) for observation in observations], committed)

    def _chunk(self, observation: Observation) -> ActionChunk:
        check_observation(observation, self.embodiment)
        down = np.array([0.0, 0.0, -0.02, 0.0, 1.0], np.float32)
        actions = np.tile(down, (self.horizon, 1))
        return ActionChunk(actions, observation.time_s, valid_s=self.horizon * self.embodiment.control_dt_s)


def main() -> None:
    check_policy(DownwardPolicy)
    print("the policy keeps its contract")
    specs = [EpisodeSpec("reach", seed) for seed in range(3)]
    for result in rollout(DownwardPolicy(), [TabletopEnvironment()], specs):
        print(f"seed {result.spec.seed}: {result.instruction}: success {result.success} after {result.steps} steps")


if __name__ == "__main__":
    main()
