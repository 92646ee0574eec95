"""Whether entropy tells failures: the AUROC against SciPy, its interval, and that keeping entropies changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from vla.interfaces import EpisodeSpec
from vla_policies.certainty import TokenEntropy
from vla_policies.rollout import RolloutResult
from vla_sim.calibration import auroc, calibration


def result(task: str, *, success: bool, error: str | None = None) -> RolloutResult:
    return RolloutResult(0, 0, EpisodeSpec(task, 1), "do", success, 1, np.zeros((1, 5), np.float32), error)


def test_it_is_the_mann_whitney_statistic_with_ties() -> None:
    generator = np.random.default_rng(3)
    scores = generator.integers(0, 6, 200).astype(np.float64)
    failed = generator.random(200) < 0.3
    tested: Any = mannwhitneyu(scores[failed], scores[~failed])
    theirs = tested.statistic / (failed.sum() * (~failed).sum())
    assert auroc(scores, failed) == pytest.approx(theirs)


@pytest.mark.parametrize(("scores", "expected"), [([2.0, 1.0], 1.0), ([1.0, 2.0], 0.0), ([1.0, 1.0], 0.5)])
def test_its_ends_and_its_middle(scores: list[float], expected: float) -> None:
    assert auroc(np.array(scores), np.array([True, False])) == expected


def test_failures_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="expected failures and successes, got 2 and 0"):
        auroc(np.zeros(2), np.ones(2, bool))


def test_a_policy_that_is_unsure_where_it_fails_is_told_so() -> None:
    results = [result("reach", success=index % 2 == 0) for index in range(40)]
    entropies = [TokenEntropy(0.1 if r.success else 0.9, 1.0) for r in results]
    found = calibration(results, entropies)
    assert found is not None
    assert (found["failures"], found["successes"]) == (20, 20)
    assert found["mean_entropy"] == {"auroc": 1.0, "low": 1.0, "high": 1.0, "within_tasks": 1.0}
    assert found["highest_entropy"]["auroc"] == 0.5


def test_a_hard_task_alone_does_not_pass_for_a_warning() -> None:
    easy = [(result("reach", success=index > 0), TokenEntropy(0.1, 0.1)) for index in range(10)]
    hard = [(result("stack", success=index == 0), TokenEntropy(0.9, 0.9)) for index in range(10)]
    found = calibration(*zip(*easy, *hard, strict=True))
    assert found is not None
    assert found["mean_entropy"]["auroc"] > 0.85
    assert found["mean_entropy"]["within_tasks"] == 0.5


def test_a_handful_of_failures_gives_no_interval() -> None:
    results = [result("reach", success=index > 8) for index in range(40)]
    found = calibration(results, [TokenEntropy(index / 40, 1.0) for index in range(40)])
    assert found is not None
    assert found["mean_entropy"] == {"auroc": 0.0, "low": None, "high": None, "within_tasks": 0.0}


def test_without_a_failure_there_is_nothing_to_tell() -> None:
    found = calibration([result("reach", success=True)], [TokenEntropy(0.1, 0.2)])
    assert found is not None
    assert found["mean_entropy"] == {"auroc": None, "low": None, "high": None, "within_tasks": None}


def test_a_policy_without_entropy_and_episodes_with_errors_are_left_out() -> None:
    assert calibration([result("reach", success=True)], [None]) is None
    assert calibration([result("reach", success=False, error="E")], [TokenEntropy(0.1, 0.2)]) is None
