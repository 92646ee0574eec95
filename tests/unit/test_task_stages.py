"""Stages: experts pass all of them, and what gets stuck is told by where."""

from __future__ import annotations

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec
from vla_policies.rollout import RolloutResult
from vla_sim.attribution import Progress, Watch, stages_tree
from vla_sim.environment import TabletopEnvironment
from vla_sim.tasks import TASKS


@pytest.fixture(scope="module")
def environment() -> TabletopEnvironment:
    return TabletopEnvironment()


def played(environment: TabletopEnvironment, task: str, seed: int, *, by_expert: bool = True) -> Progress:
    """One episode without pictures."""
    environment.reset(EpisodeSpec(task, seed))
    watch = Watch([environment])
    watch.begin(0)
    for _ in range(environment.attempt.task.max_steps):
        action = environment.expert_action() if by_expert else np.zeros(5, np.float32)
        environment.world.step(action)
        watch.look(0)
        if environment.attempt.task.success(environment.world, environment.attempt.names):
            break
    progress = watch.finish(0)
    assert progress is not None
    return progress


@pytest.mark.parametrize("task", list(TASKS))
def test_an_expert_passes_every_stage_and_moves_nothing_else(environment: TabletopEnvironment, task: str) -> None:
    for seed in (1, 2):
        progress = played(environment, task, seed)
        assert progress.came_to == progress.stages[-1]
        assert not progress.moved_another


@pytest.mark.parametrize("task", list(TASKS))
def test_no_stage_holds_for_an_arm_that_rests(environment: TabletopEnvironment, task: str) -> None:
    stages = played(environment, task, 3, by_expert=False)
    assert stages.came_to == "start"


def test_the_stages_of_placing_are_those_of_the_field() -> None:
    assert [stage.name for stage in TASKS["put_on_pad"].stages] == ["reached", "grasped", "moved", "placed"]


def test_another_block_that_was_moved_is_noticed(environment: TabletopEnvironment) -> None:
    environment.reset(EpisodeSpec("pick_up", 5))
    told = environment.attempt
    other = next(name for t in told.scene.things if (name := t.name).endswith("block") and name not in told.names)
    for _ in range(30):
        environment.world.step(told.task.expert(environment.world, (other,)))
    assert environment.moves_another()
    assert not environment.stages()["moved"]


def test_a_stage_behind_a_gap_does_not_count() -> None:
    stages = ("reached", "grasped", "moved")
    assert Progress(stages, frozenset({"reached", "moved"}), False).came_to == "reached"
    assert Progress(stages, frozenset({"moved"}), False).came_to == "start"
    assert Progress(stages, frozenset(stages), False).came_to == "moved"


def result(seed: int, *, success: bool, error: str | None = None) -> RolloutResult:
    actions = np.zeros((1, 5), np.float32)
    return RolloutResult(0, 0, EpisodeSpec("pick_up", seed), "pick", success, 1, actions, error)


def test_failures_are_counted_by_how_far_they_came() -> None:
    stages = ("reached", "grasped")
    tree = stages_tree(
        [
            result(1, success=True),
            result(2, success=False),
            result(3, success=False),
            result(4, success=False, error="E"),
        ],
        [
            Progress(stages, frozenset(stages), False),
            Progress(stages, frozenset({"reached"}), True),
            Progress(stages, frozenset(), False),
            None,
        ],
    )
    assert tree == {
        "pick_up": {
            "failures": 2,
            "came_to": {"start": 1, "reached": 1, "grasped": 0},
            "timed_out": 2,
            "error": 1,
            "moved_another": 1,
        }
    }


def test_an_environment_without_stages_is_left_alone() -> None:
    watch = Watch([object()])
    watch.begin(0)
    watch.look(0)
    assert watch.finish(0) is None
    assert stages_tree([result(1, success=False)], [None]) == {}
