"""An environment that others wrote, through its mapping."""

from __future__ import annotations

import numpy as np
import pytest

from tests import gym_arm
from vla.errors import ActionError, ConfigError, ObservationError
from vla.interfaces import EpisodeSpec, InstructionKind, TemplateSet
from vla.testing import check_environment
from vla_sim.gym_suite.environment import GymEnvironment
from vla_sim.gym_suite.mapping_file import parse_mapping
from vla_sim.gym_suite.suite import mapping_of

REST = np.array([0.0, 0.0, 0.5], np.float32)


@pytest.fixture(autouse=True)
def arm() -> None:
    gym_arm.register()


def environment(old: str = "", new: str = "") -> GymEnvironment:
    assert old in gym_arm.MAPPING
    return GymEnvironment(parse_mapping(gym_arm.MAPPING.replace(old, new)), lazy_pictures=False)


def test_it_keeps_the_contract_of_an_environment() -> None:
    specs = [
        EpisodeSpec("go", 0),
        EpisodeSpec("told", 1, TemplateSet.HELD_OUT),
        EpisodeSpec("go", 2, instruction_kind=InstructionKind.WRONG),
    ]
    check_environment(environment(), specs, steps=4)


@pytest.mark.parametrize("name", ["gym:Reacher-v5", "gym:Pusher-v5"])
def test_gymnasiums_own_arms_keep_it_too(name: str) -> None:
    pytest.importorskip("imageio")
    mapping = mapping_of(name)
    task = next(iter(mapping.tasks))
    check_environment(
        GymEnvironment(mapping, lazy_pictures=False), [EpisodeSpec(task, 0), EpisodeSpec(task, 1)], steps=3
    )


def test_a_number_is_the_one_the_mapping_says_in_si() -> None:
    place = environment()
    begin = place.reset(EpisodeSpec("go", 0)).proprioception
    after = place.step(np.array([0.05, -0.025, 1.0], np.float32)).observation.proprioception
    np.testing.assert_allclose(after - begin, [0.05, -0.025, 0.02], atol=1e-6)


def test_a_picture_is_set_upright_in_rgb_and_in_the_cameras_size() -> None:
    picture = environment().reset(EpisodeSpec("go", 0)).images["front"]
    assert picture.shape == (8, 12, 3)
    assert (picture[:2] == [0, 0, 200]).all()
    assert not picture[2:].any()


def test_an_episode_ends_with_success_or_late() -> None:
    place = environment()
    place.reset(EpisodeSpec("go", 0))
    ends = [place.step(np.array([0.05, 0.0, 0.5], np.float32)) for _ in range(6)]
    assert [end.success for end in ends] == [end.terminated for end in ends]
    place.reset(EpisodeSpec("told", 0))
    ends = [place.step(REST) for _ in range(5)]
    assert [end.truncated for end in ends] == [False] * 4 + [True]


def test_words_are_the_mappings_or_the_environments_own() -> None:
    place = environment()
    assert place.reset(EpisodeSpec("go", 0)).instruction == "go right"
    assert place.reset(EpisodeSpec("go", 0, TemplateSet.HELD_OUT)).instruction == "rightwards"
    assert place.reset(EpisodeSpec("go", 0, instruction_kind=InstructionKind.WRONG)).instruction == "go left"
    assert place.reset(EpisodeSpec("told", 0)).instruction == "bring it there"
    assert place.reset(EpisodeSpec("told", 0, TemplateSet.HELD_OUT)).instruction == "please bring it there"


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("scale: 0.05", "scale: 0.01", ConfigError, r"'dx' reaches -5 to 5 in action\[1\].*space is -1 to 1"),
        ("hand/position[1]", "hand/place[1]", ObservationError, r"there is no 'hand/place'.*there is: position"),
        ("hand/position[1]", "hand/position[7]", ObservationError, r"field 'y' is from hand/position\[7\]"),
        ("hand/position[1]", "hand/position", ObservationError, r"field 'y' is from hand/position"),
        ("resize: area", "resize: none", ObservationError, r"say 'resize: area'"),
        ("from: picture", "from: opening", ObservationError, r"expected uint8 pictures of three colours"),
        ("Arm-v0", "Arm-v9", ConfigError, r"'vla_test/Arm-v9' of suite 'test_arm'"),
        ("{goal: 0.2}", "{gaol: 0.2}", ConfigError, r"unexpected keyword argument 'gaol'"),
        ("limits: clip", "limits: refuse", None, ""),
        ("low: -1.0", "low: 0.5", None, ""),
        ("physics: none", "physics: mujoco", ConfigError, r"physics: mujoco does not fit Arm"),
    ],
)
def test_what_does_not_fit_the_environment_is_named(
    old: str, new: str, error: type[Exception] | None, message: str
) -> None:
    place = environment(old, new)
    if error is None:
        place.reset(EpisodeSpec("told", 0))
        return
    with pytest.raises(error, match=message):
        dict(place.reset(EpisodeSpec("told", 0)).images)


def test_physics_that_diverges_is_an_error() -> None:
    pytest.importorskip("imageio")
    place = GymEnvironment(mapping_of("gym:Reacher-v5"))
    place.reset(EpisodeSpec("reach_target", 0))
    place._inner.unwrapped.data.qvel[0] = np.inf  # type: ignore[union-attr]
    with pytest.raises(ObservationError, match="the physics of 'reach_target', seed 0, diverged at step 1"):
        place.step(np.zeros(2, np.float32))


def test_a_measurement_outside_its_limits_is_refused_if_the_mapping_says_so() -> None:
    place = GymEnvironment(parse_mapping(gym_arm.MAPPING.replace("low: -1.0", "low: 0.5").replace("clip", "refuse")))
    with pytest.raises(ObservationError, match=r"outside of its limits 0.5 to 1"):
        place.reset(EpisodeSpec("go", 0))


def test_success_that_info_does_not_tell_is_an_error_and_no_failure() -> None:
    place = environment("info: closeness", "info: is_success")
    place.reset(EpisodeSpec("go", 0))
    with pytest.raises(ObservationError, match="there is no 'is_success' in info; keys: closeness"):
        place.step(REST)


def test_a_mapping_without_experts_says_so() -> None:
    place = environment()
    place.reset(EpisodeSpec("go", 0))
    with pytest.raises(ConfigError, match="suite 'test_arm' has no scripted expert"):
        place.expert_action()
    with pytest.raises(ActionError, match="3 finite numbers"):
        place.step(np.zeros(2, np.float32))
