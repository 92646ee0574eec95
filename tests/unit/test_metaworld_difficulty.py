"""The four difficulty groups, and both averages."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec
from vla_policies.rollout import RolloutResult
from vla_sim.metaworld_suite import DIFFICULTY, INSTRUCTIONS
from vla_sim.metaworld_suite.difficulty import metaworld_averages, metaworld_groups


def _result(task: str, success: bool) -> RolloutResult:
    return RolloutResult(0, 0, EpisodeSpec(task, 0), "", success, 1, np.zeros((1, 4), np.float32))


def test_the_groups_are_the_fifty_tasks() -> None:
    assert [len(tasks) for tasks in DIFFICULTY.values()] == [28, 11, 6, 5]
    assert sorted(task for tasks in DIFFICULTY.values() for task in tasks) == sorted(INSTRUCTIONS)


def test_a_policy_that_does_all_easy_tasks_has_a_quarter_or_more_than_half() -> None:
    results = [_result(task, task in DIFFICULTY["easy"]) for task in INSTRUCTIONS]
    assert metaworld_averages(results) == {"mean_of_groups": 0.25, "mean_of_tasks": 0.56}
    groups = metaworld_groups(results)
    assert {name: (group["n"], group["success"]) for name, group in groups.items()} == {
        "easy": (28, 1.0),
        "medium": (11, 0.0),
        "hard": (6, 0.0),
        "very_hard": (5, 0.0),
    }


def test_tasks_weigh_the_same_however_many_episodes_they_have() -> None:
    results = [_result("reach", True), *[_result("push", False)] * 3, _result("reach_wall", True)]
    averages = metaworld_averages(results)
    assert averages["mean_of_tasks"] == pytest.approx(2 / 3)
    assert averages["mean_of_groups"] == 0.5
    assert list(metaworld_groups(results)) == ["easy", "hard"]


def test_errors_are_no_failures_and_a_task_of_errors_alone_leaves_no_average() -> None:
    broken = dataclasses.replace(_result("push", False), error="OSError: no")
    results = [_result("reach", True), _result("push", True), broken]
    assert metaworld_averages(results) == {"mean_of_groups": 1.0, "mean_of_tasks": 1.0}
    assert metaworld_groups(results)["hard"]["errors"] == 1
    assert metaworld_averages([_result("reach", True), broken]) == {"mean_of_groups": None, "mean_of_tasks": None}
