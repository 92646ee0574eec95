"""From results of episodes to the numbers of a report."""

from __future__ import annotations

import numpy as np
import pytest

from vla.interfaces import EpisodeSpec
from vla_policies.rollout import PredictCall, RolloutResult
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.intervals import wilson_interval
from vla_sim.scores import latency, pair_scores, scores, seam_jumps, set_successes

STACKS = ("stack", "stack_swapped")


def result(task: str, seed: int, *, success: bool = True, error: str | None = None) -> RolloutResult:
    actions = np.zeros((seed, 5), np.float32)
    return RolloutResult(0, 0, EpisodeSpec(task, seed), f"do {task}", success, seed, actions, error)


def test_a_tree_counts_each_task_and_all_of_them() -> None:
    tree = scores([result("reach", 1), result("reach", 2, success=False), result("stack", 1), result("stack", 2)])
    low, high = wilson_interval(1, 2)
    assert tree["tasks"]["reach"] == {"n": 2, "success": 0.5, "low": low, "high": high, "errors": 0}
    assert tree["tasks"]["stack"]["success"] == 1.0
    assert (tree["overall"]["n"], tree["overall"]["success"]) == (4, 0.75)


def test_episodes_stand_in_the_order_of_the_results() -> None:
    tree = scores([result("stack", 2), result("reach", 1)])
    assert list(tree["tasks"]) == ["stack", "reach"]
    assert tree["episodes"] == [
        {"task": "stack", "seed": 2, "instruction": "do stack", "success": True, "steps": 2, "error": None},
        {"task": "reach", "seed": 1, "instruction": "do reach", "success": True, "steps": 1, "error": None},
    ]


def test_a_jump_at_a_seam_is_told_from_those_elsewhere() -> None:
    actions = np.zeros((5, 5), np.float32)
    actions[2:, 0] = 0.02  # half of dx's half-range, at the seam
    actions[4, 1] = 0.01
    actions[3, 4] = 1.0  # the gripper, which does not count
    jumps = seam_jumps([RolloutResult(0, 0, EpisodeSpec("reach", 1), "", True, 5, actions, seams=(2,))], TABLETOP_PANDA)
    assert (jumps["n"], jumps["p99"]) == (1, 0.5)
    assert jumps["elsewhere_p50"] == 0.0
    assert jumps["elsewhere_p99"] == pytest.approx(0.25, abs=0.01)


def test_without_a_seam_there_is_no_jump_to_report() -> None:
    assert seam_jumps([result("reach", 3)], TABLETOP_PANDA) == {
        "n": 0,
        "p50": None,
        "p99": None,
        "elsewhere_p50": 0.0,
        "elsewhere_p99": 0.0,
    }


def test_an_error_stands_beside_what_was_carried_out() -> None:
    tree = scores([result("reach", 1), result("reach", 2, success=False, error="RuntimeError: no")])
    assert tree["errors"] == tree["overall"]["errors"] == tree["tasks"]["reach"]["errors"] == 1
    assert (tree["overall"]["n"], tree["overall"]["success"]) == (1, 1.0)
    assert tree["overall"]["bounds"] == {"low": 0.5, "high": 1.0}
    assert tree["episodes"][1]["error"] == "RuntimeError: no"


def test_a_pair_is_right_when_both_orders_of_the_words_are() -> None:
    results = [
        result("stack", 1),
        result("stack", 2),
        result("stack", 3, success=False),
        result("stack", 9),
        result("stack_swapped", 3),
        result("stack_swapped", 2, success=False),
        result("stack_swapped", 1),
    ]
    assert set_successes(results, STACKS) == [True, False, False]
    assert pair_scores(results, [STACKS])["stack+stack_swapped"]["n"] == 3


@pytest.mark.parametrize("tasks", [["stack"], ["stack_swapped"], ["reach", "stack"]])
def test_there_are_no_pairs_without_both_tasks(tasks: list[str]) -> None:
    assert pair_scores([result(task, 1) for task in tasks], [STACKS]) == {}


def test_latency_is_in_milliseconds_of_a_call() -> None:
    calls = [
        PredictCall(seconds / 1000, size) for seconds, size in zip(range(1, 102), [8] * 50 + [4] * 51, strict=True)
    ]
    found = latency(calls)
    assert (found["p50"], found["p95"], found["p99"]) == (51.0, 96.0, 100.0)
    assert (found["calls"], found["mean_batch_size"]) == (101, 5.98)


def test_no_calls_have_no_latency() -> None:
    assert latency([]) == {"p50": None, "p95": None, "p99": None, "calls": 0, "mean_batch_size": None}
