"""Every registered task passes Gymnasium's own checker, without a warning."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from vla_sim.gymnasium_environments import register
from vla_sim.tasks import TASKS


@pytest.fixture(autouse=True, scope="module")
def registered() -> None:
    register()


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_registered_task_passes_the_checker(task: str) -> None:
    environment = gymnasium.make(f"vla_sim/{task}-v0", render_mode="rgb_array", disable_env_checker=True)
    try:
        check_env(environment.unwrapped)
    finally:
        environment.close()


def test_the_same_seed_begins_the_same_episode() -> None:
    first = gymnasium.make("vla_sim/stack-v0").reset(seed=5)[0]
    again = gymnasium.make("vla_sim/stack-v0").reset(seed=5)[0]
    assert first["instruction"] == again["instruction"]
    assert np.array_equal(first["scene"], again["scene"])


def test_a_large_picture_is_rendered_for_people() -> None:
    environment = gymnasium.make("vla_sim/reach-v0", render_mode="rgb_array", height=120, width=160)
    environment.reset(seed=0)
    picture = environment.render()
    assert isinstance(picture, np.ndarray)
    assert picture.shape == (120, 160, 3)
