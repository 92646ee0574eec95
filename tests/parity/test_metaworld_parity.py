"""Meta-World's experts through our adapter against the same experts in Meta-World alone."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from vla_sim.metaworld_suite.demonstrations import demonstrate
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment
from vla_sim.metaworld_suite.library import make_environment, make_expert

pytest.importorskip("metaworld")


@pytest.fixture(scope="module")
def environment() -> MetaWorldEnvironment:
    return MetaWorldEnvironment()


# The expert of `box_close` fails at seed 1 of these.
@pytest.mark.parametrize("task", ["reach", "coffee_push", "peg_unplug_side", "box_close"])
def test_an_expert_does_the_same_through_our_adapter(task: str, environment: MetaWorldEnvironment) -> None:
    for seed in (0, 1):
        episode = demonstrate(task, seed, environment=environment)
        assert (episode.success, episode.num_steps) == _directly(task, seed)


def _directly(task: str, seed: int) -> tuple[bool, int]:
    """Success, and after how many steps, as Meta-World's own examples run an expert."""
    inner, expert = make_environment(task), make_expert(task)
    inner.seed(seed)
    state = inner.reset()[0]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Constant\(s\) may be too high")
        for step in range(inner.max_path_length):
            action = np.clip(expert.get_action(state.copy()), -1.0, 1.0).astype(np.float32)
            state, _, _, _, info = inner.step(action)
            if info["success"]:
                return True, step + 1
    return False, inner.max_path_length
