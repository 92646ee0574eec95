"""The scripted experts as a policy: the only policy that may look into the simulator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from vla.embodiment import Embodiment
from vla.interfaces import ActionChunk, Observation, beginning_with, check_observation
from vla_sim.environment import TabletopEnvironment


@runtime_checkable
class ExpertEnvironment(Protocol):
    """An environment whose expert can be asked."""

    @property
    def embodiment(self) -> Embodiment: ...

    def expert_action(self) -> Float32[np.ndarray, " action_dim"]:
        """What the expert of the task does in this state."""
        ...


def lookahead(environment: TabletopEnvironment, horizon: int) -> Float32[np.ndarray, "horizon action_dim"]:
    """What the expert does in the next `horizon` steps from here, without noise; the state is left as it was."""
    actions = np.empty((horizon, environment.embodiment.action_dim), np.float32)
    state = environment.save() if horizon > 1 else None
    for index in range(horizon):
        actions[index] = environment.expert_action()
        if index + 1 < horizon:
            environment.world.step(actions[index])
    if state is not None:
        environment.restore(state)
    return actions


class ScriptedPolicy:
    """The expert of whichever task is scored in an episode's environment."""

    def __init__(self, environments: Sequence[ExpertEnvironment], horizon: int = 1) -> None:
        """Act in these environments.

        Args:
            environments: by slot.
            horizon: actions foreseen at once, by a look-ahead in the simulator.

        Raises:
            ValueError: if an environment cannot be looked ahead in.
        """
        if horizon > 1 and not all(isinstance(environment, TabletopEnvironment) for environment in environments):
            raise ValueError(f"only the tabletop can be looked ahead in: horizon is 1 elsewhere, got {horizon}")
        self._environments = environments
        self._horizon = horizon

    @property
    def embodiment(self) -> Embodiment:
        return self._environments[0].embodiment

    @property
    def horizon(self) -> int:
        return self._horizon

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        """Nothing to begin: the experts have no memory."""

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        chunks = []
        for slot, observation in zip(slots or range(len(observations)), observations, strict=True):
            check_observation(observation, self.embodiment)
            actions = self._foreseen(self._environments[slot])
            valid_s = self._horizon * self.embodiment.control_dt_s
            chunks.append(ActionChunk(actions, observation.time_s, valid_s))
        return beginning_with(chunks, committed)

    def _foreseen(self, environment: ExpertEnvironment) -> Float32[np.ndarray, "horizon action_dim"]:
        if isinstance(environment, TabletopEnvironment):
            return lookahead(environment, self._horizon)
        return environment.expert_action()[None]
