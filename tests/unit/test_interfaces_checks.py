from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from vla.errors import ActionError, ObservationError
from vla.interfaces import ActionChunk, Environment, Episode, Policy, check_chunk, check_observation
from vla.testing import SMALL_EMBODIMENT, FakeEnvironment, FakePolicy, make_episode, make_observation

GOOD = make_observation(SMALL_EMBODIMENT, 0)


def _chunk(actions: np.ndarray) -> ActionChunk:
    return ActionChunk(actions, start_s=0.0, valid_s=1.0)


def test_a_good_observation_passes() -> None:
    check_observation(GOOD, SMALL_EMBODIMENT)


def test_a_missing_camera_is_named_with_those_that_are_there() -> None:
    observation = dataclasses.replace(GOOD, images={"scene": GOOD.images["scene"]})
    with pytest.raises(ObservationError, match="the observation lacks camera 'wrist' of small; it has: scene"):
        check_observation(observation, SMALL_EMBODIMENT)


def test_an_observation_without_images_says_none() -> None:
    with pytest.raises(ObservationError, match="lacks camera 'scene' of small; it has: none"):
        check_observation(dataclasses.replace(GOOD, images={}), SMALL_EMBODIMENT)


def test_an_image_of_another_size_is_refused() -> None:
    images = {**GOOD.images, "scene": GOOD.images["scene"][:-1]}
    message = r"camera 'scene' of small gives uint8 \(16, 24, 3\), got uint8 \(15, 24, 3\)"
    with pytest.raises(ObservationError, match=message):
        check_observation(dataclasses.replace(GOOD, images=images), SMALL_EMBODIMENT)


def test_proprioception_of_another_width_is_refused() -> None:
    observation = dataclasses.replace(GOOD, proprioception=np.zeros(2, np.float32))
    with pytest.raises(ObservationError, match=r"proprioception of small is float32 \(3,\), got float32 \(2,\)"):
        check_observation(observation, SMALL_EMBODIMENT)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_field_that_is_not_finite_is_named(value: float) -> None:
    state = GOOD.proprioception.copy()
    state[1] = value
    with pytest.raises(ObservationError, match=r"proprioception of small is not finite: joint_2$"):
        check_observation(dataclasses.replace(GOOD, proprioception=state), SMALL_EMBODIMENT)


def test_a_good_chunk_passes() -> None:
    check_chunk(_chunk(np.zeros((4, 5), np.float32)), SMALL_EMBODIMENT, 4)


def test_a_chunk_of_another_horizon_is_refused() -> None:
    with pytest.raises(ActionError, match=r"expected a float32 \(4, 5\) chunk, got float32 \(3, 5\)"):
        check_chunk(_chunk(np.zeros((3, 5), np.float32)), SMALL_EMBODIMENT, 4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_chunk_that_is_not_finite_is_refused(value: float) -> None:
    actions = np.zeros((4, 5), np.float32)
    actions[2, 3] = value
    with pytest.raises(ActionError, match="the action chunk is not finite: 'dyaw' at step 2"):
        check_chunk(_chunk(actions), SMALL_EMBODIMENT, 4)


def test_an_episode_is_as_long_as_its_actions() -> None:
    episode = make_episode(SMALL_EMBODIMENT, 7, 0)
    assert isinstance(episode, Episode)
    assert episode.num_steps == 7


def test_the_fakes_are_what_the_protocols_ask_for() -> None:
    assert isinstance(FakePolicy(), Policy)
    assert isinstance(FakeEnvironment(), Environment)


@pytest.mark.parametrize("module", ["vla", "vla.interfaces", "vla.embodiment", "vla.normalization", "vla.testing"])
def test_the_vocabulary_loads_no_torch(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'zarr', 'mujoco'}} & sys.modules.keys()))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
