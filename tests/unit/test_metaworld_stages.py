"""Stages of Meta-World's tasks: experts pass them, an arm that rests does not move what settles by itself."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec
from vla_sim.attribution import Progress, StagedEnvironment, Watch
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment
from vla_sim.metaworld_suite.stages import MOVED_M, REACHED_M, stages

needs_metaworld = pytest.mark.skipif(find_spec("metaworld") is None, reason="needs the extra metaworld")
HERE = np.zeros(3)


def at(distance: float) -> np.ndarray:
    return np.array([distance, 0.0, 0.0])


def test_a_thing_is_reached_within_ten_centimetres() -> None:
    assert stages("push", HERE, at(REACHED_M - 0.001), None) == {"reached": True, "moved": False}
    assert stages("push", HERE, at(REACHED_M + 0.001), None) == {"reached": False, "moved": False}
    assert stages("coffee_button", HERE, at(0.12), None)["reached"]


def test_it_has_moved_by_how_far_it_is_from_where_it_was_reached() -> None:
    assert stages("push", HERE, at(MOVED_M + 0.001), HERE)["moved"]
    assert not stages("push", HERE, at(MOVED_M - 0.001), HERE)["moved"]
    assert stages("stick_push", HERE, at(0.015), HERE)["moved"]


def test_where_nothing_is_to_be_touched_there_are_no_stages() -> None:
    assert stages("reach", HERE, HERE, HERE) == {}


def played(task: str, steps: int, *, by_expert: bool) -> Progress:
    environment = MetaWorldEnvironment()
    environment.reset(EpisodeSpec(task, 1_000_000))
    watch = Watch([environment])
    watch.begin(0)
    for _ in range(steps):
        transition = environment.step(environment.expert_action() if by_expert else np.zeros(4, np.float32))
        watch.look(0)
        if transition.terminated or transition.truncated:
            break
    found = watch.finish(0)
    assert found is not None
    return found


@needs_metaworld
def test_an_expert_passes_every_stage() -> None:
    assert isinstance(MetaWorldEnvironment(), StagedEnvironment)
    found = played("pick_place", 500, by_expert=True)
    assert (found.stages, found.came_to) == (("reached", "moved"), "moved")


@needs_metaworld
def test_a_door_that_swings_by_itself_was_moved_by_nobody() -> None:
    assert played("door_close", 20, by_expert=False).came_to == "start"
