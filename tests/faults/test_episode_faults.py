"""Whatever breaks in one episode, world or policy, is that episode's error: the others go on as if alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from jaxtyping import Float32

from vla.interfaces import ActionChunk, EpisodeSpec, Observation, Transition
from vla.testing import SMALL_EMBODIMENT
from vla_policies.rollout import RolloutResult, rollout
from vla_sim.scores import scores

STEPS, HORIZON = 6, 4


class World:
    """Six steps and a success, unless the task is the name of a fault."""

    embodiment = SMALL_EMBODIMENT

    def __init__(self) -> None:
        self.task, self.num_steps = "", 0

    def reset(self, spec: EpisodeSpec) -> Observation:
        self.task, self.num_steps = spec.task, 0
        if self.task == "raises_in_reset":
            raise OSError("a mesh is missing")
        return self.observe()

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Transition:
        self.num_steps += 1
        if self.task == "raises_in_step" and self.num_steps == 2:
            raise ValueError("the wheel came off")
        is_over = self.num_steps == STEPS
        return Transition(self.observe(), action, is_over, False, is_over)

    def observe(self) -> Observation:
        embodiment = self.embodiment
        state = np.zeros(embodiment.state_dim, np.float32)
        if self.task in ("nan_at_once", f"nan_at_{self.num_steps}"):
            state[0] = np.nan
        if self.task == "wide_state":
            state = np.zeros(embodiment.state_dim + 1, np.float32)
        images = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in embodiment.cameras}
        if self.task == "small_picture":
            images = {name: image[1:] for name, image in images.items()}
        if self.task == "no_picture":
            images = {}
        return Observation(images, state, self.task, self.num_steps * embodiment.control_dt_s, frozenset())

    def close(self) -> None:
        pass


class Acting:
    """Stands still, unless the instruction is the name of a fault."""

    embodiment, horizon = SMALL_EMBODIMENT, HORIZON

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        if 13 in seeds:
            raise RuntimeError("no thirteen")

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[Float32[np.ndarray, "_ action_dim"] | None] | None = None,
    ) -> list[ActionChunk]:
        words = [observation.instruction for observation in observations]
        if "policy_raises" in words:
            raise RuntimeError("out of memory")
        if "too_few_chunks" in words:
            return []
        return [self._chunk(observation) for observation in observations]

    def _chunk(self, observation: Observation) -> ActionChunk:
        horizon = HORIZON - 1 if observation.instruction == "short_chunk" else HORIZON
        actions = np.zeros((horizon, self.embodiment.action_dim), np.float32)
        if observation.instruction == "nan_actions":
            actions[1] = np.nan
        return ActionChunk(actions, observation.time_s, HORIZON * self.embodiment.control_dt_s)


FAULTS = {
    "raises_in_reset": (0, "OSError: a mesh is missing"),
    "raises_in_step": (1, "ValueError: the wheel came off"),
    "nan_at_once": (0, "is not finite"),
    "nan_at_1": (1, "is not finite"),
    "nan_at_6": (6, "is not finite"),
    "wide_state": (0, "proprioception of small is float32"),
    "small_picture": (0, "gives uint8"),
    "no_picture": (0, "lacks camera"),
    "policy_raises": (0, "RuntimeError: out of memory"),
    "too_few_chunks": (0, "expected a chunk for each of 1 observations, got 0"),
    "nan_actions": (0, "the action chunk is not finite"),
    "short_chunk": (0, "ActionError: expected a float32"),
}


def run(*tasks: str, slots: int = 3) -> list[RolloutResult]:
    specs = [EpisodeSpec(task, 20 + index) for index, task in enumerate(tasks)]
    found = rollout(Acting(), [World() for _ in range(slots)], specs)
    return sorted(found, key=lambda result: result.index)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_its_own_episodes_error(fault: str, slots: int) -> None:
    steps, message = FAULTS[fault]
    found = run("fine", fault, "fine", "fine", slots=slots)
    assert [result.error is None for result in found] == [True, False, True, True]
    assert (found[1].success, found[1].steps) == (False, steps)
    assert message in str(found[1].error)


def test_errors_of_every_kind_count_as_neither_success_nor_failure() -> None:
    tree = scores(run("fine", *FAULTS, "fine"))
    assert (tree["overall"]["n"], tree["overall"]["success"]) == (2, 1.0)
    assert (tree["errors"], tree["overall"]["errors"]) == (len(FAULTS), len(FAULTS))


def test_a_policy_that_cannot_begin_an_episode_goes_on_with_the_next() -> None:
    specs = [EpisodeSpec("fine", seed) for seed in (12, 13, 14)]
    found = {r.spec.seed: r.error for r in rollout(Acting(), [World()], specs)}
    assert found == {12: None, 13: "RuntimeError: no thirteen", 14: None}
