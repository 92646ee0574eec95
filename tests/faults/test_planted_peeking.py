"""A policy that looks into the simulator is caught, and observations hold nothing but what the embodiment promises."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec, Observation, Policy
from vla_policies.baselines import RandomPolicy, ZeroPolicy
from vla_policies.loading import load_policy
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.environment import TabletopEnvironment
from vla_sim.oracle import ScriptedPolicy
from vla_sim.peeking import peeks

SPECS = [EpisodeSpec("put_on_pad", seed) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def environment() -> TabletopEnvironment:
    return TabletopEnvironment()


def test_a_policy_that_reads_the_simulators_state_is_caught(environment: TabletopEnvironment) -> None:
    assert peeks(lambda: ScriptedPolicy([environment]), environment, SPECS)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ZeroPolicy(TABLETOP_PANDA),
        lambda: RandomPolicy(TABLETOP_PANDA),
        lambda: load_policy("pretrained", TABLETOP_PANDA),
    ],
    ids=["zero", "random", "pretrained"],
)
def test_policies_that_act_on_what_they_are_shown_pass(
    environment: TabletopEnvironment, make: Callable[[], Policy]
) -> None:
    assert not peeks(make, environment, SPECS)


def test_one_episode_is_not_enough_to_tell(environment: TabletopEnvironment) -> None:
    with pytest.raises(ValueError, match="two or more episodes that begin differently, got 1"):
        peeks(lambda: ZeroPolicy(TABLETOP_PANDA), environment, SPECS[:1])


def test_an_observation_has_no_field_for_a_state() -> None:
    fields = {field.name for field in dataclasses.fields(Observation)}
    assert fields == {"images", "proprioception", "instruction", "time_s", "fresh", "past"}


@pytest.mark.parametrize("task", ["reach", "open_drawer", "put_in_bowl"])
def test_the_tabletop_shows_what_its_embodiment_promises_and_no_more(
    environment: TabletopEnvironment, task: str
) -> None:
    observation = environment.reset(EpisodeSpec(task, 4))
    body = environment.embodiment
    assert set(observation.images) == {camera.name for camera in body.cameras}
    assert observation.proprioception.shape == (len(body.proprioception),)
    assert not hasattr(observation, "__dict__")


def test_what_a_policy_writes_into_an_observation_does_not_reach_the_world(environment: TabletopEnvironment) -> None:
    observation = environment.reset(EpisodeSpec("reach", 4))
    before = environment.save()
    for array in (observation.proprioception, *observation.images.values()):
        if array.flags.writeable:
            array[...] = 0
    assert np.array_equal(environment.save(), before)
    assert environment.observe().proprioception.any()


def test_proprioception_is_of_the_arm_alone(environment: TabletopEnvironment) -> None:
    first = environment.reset(EpisodeSpec("put_on_pad", 4))
    scene = environment.attempt.scene
    moved = dataclasses.replace(scene, things=tuple(dataclasses.replace(t, y=-t.y) for t in scene.things))
    environment.world.reset(moved)
    np.testing.assert_array_equal(environment.observe().proprioception, first.proprioception)
