"""Whether a policy knows when it fails: does the entropy of its tokens tell failures from successes?

The measure is the AUROC: the chance that a failure, drawn at random, had a higher entropy than a success, drawn at
random; ties count half. 1 is a perfect warning, 0.5 none, below 0.5 the policy is surer where it fails.

    AUROC = (R - f (f + 1) / 2) / (f s),   R the sum of the failures' ranks, f failures, s successes

`within_tasks` compares episodes of one task alone, weighed by their number of pairs: over all tasks the entropy may do
no more than tell a hard task from an easy one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from vla_policies.certainty import TokenEntropy
from vla_policies.rollout import RolloutResult

FEWEST = 10
"""Failures and successes; with fewer, resampling them says too little of others, and no interval is given."""
RESAMPLES = 1000
BOOTSTRAP_SEED = 0xCA11


def calibration(results: Sequence[RolloutResult], entropies: Sequence[TokenEntropy | None]) -> dict[str, Any] | None:
    """AUROC of failure by mean and by highest entropy, each with a 95 % interval; `None` if no entropy is known.

    Episodes that ended in errors are left out: no policy can foresee them.
    """
    known = [(r, e) for r, e in zip(results, entropies, strict=True) if e is not None and r.error is None]
    if not known:
        return None
    failed = np.array([not result.success for result, _ in known])
    tasks = np.unique([result.spec.task for result, _ in known], return_inverse=True)[1]
    scores = {
        "mean_entropy": np.array([entropy.mean for _, entropy in known]),
        "highest_entropy": np.array([entropy.highest for _, entropy in known]),
    }
    counts = {"failures": int(failed.sum()), "successes": int((~failed).sum())}
    return counts | {name: _judged(values, failed, tasks) for name, values in scores.items()}


def auroc(scores: Float64[np.ndarray, " episodes"], failed: Bool[np.ndarray, " episodes"]) -> float:
    """The chance that a failure scores higher than a success.

    Raises:
        ValueError: if there are only failures, or only successes.

    Source: Hanley and McNeil 1982, Radiology 143 (1); the Mann-Whitney statistic.
    """
    failures, successes = scores[failed], scores[~failed]
    if not (len(failures) and len(successes)):
        raise ValueError(f"expected failures and successes, got {len(failures)} and {len(successes)}")
    ordered = np.sort(successes)
    below = np.searchsorted(ordered, failures, "left")
    up_to = np.searchsorted(ordered, failures, "right")
    return float((below + up_to).sum() / 2 / (len(failures) * len(successes)))


def _judged(
    scores: Float64[np.ndarray, " episodes"], failed: Bool[np.ndarray, " episodes"], tasks: np.ndarray
) -> dict[str, float | None]:
    """AUROC, its interval from resampled failures and successes, and the one within tasks; `None` where undefined."""
    if failed.all() or not failed.any():
        return {"auroc": None, "low": None, "high": None, "within_tasks": None}
    low, high = _interval(scores, failed)
    return {"auroc": auroc(scores, failed), "low": low, "high": high, "within_tasks": _within(scores, failed, tasks)}


def _interval(
    scores: Float64[np.ndarray, " episodes"], failed: Bool[np.ndarray, " episodes"]
) -> tuple[float, float] | tuple[None, None]:
    if min(failed.sum(), (~failed).sum()) < FEWEST:
        return None, None
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    bad, good = np.flatnonzero(failed), np.flatnonzero(~failed)
    resampled = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([generator.choice(bad, len(bad)), generator.choice(good, len(good))])
        resampled.append(auroc(scores[drawn], failed[drawn]))
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(low), float(high)


def _within(
    scores: Float64[np.ndarray, " episodes"], failed: Bool[np.ndarray, " episodes"], tasks: np.ndarray
) -> float | None:
    total = pairs = 0.0
    for task in np.unique(tasks):
        own = tasks == task
        weight = float((failed & own).sum() * (~failed & own).sum())
        if weight:
            total += weight * auroc(scores[own], failed[own])
            pairs += weight
    return total / pairs if pairs else None
