"""Of tasks of several steps: how many an episode completed in their order, as CALVIN counts (arXiv:2112.03227).

at_least["2"] is the share of episodes that completed the first two steps, one after the other
mean_completed is the mean number: the sum of all these shares
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vla_policies.rollout import RolloutResult
from vla_sim.attribution import Progress
from vla_sim.tally import tally_of
from vla_sim.tasks.order import STAGE


def steps_tree(results: Sequence[RolloutResult], progress: Sequence[Progress | None]) -> dict[str, Any]:
    """By task: `steps`, `mean_completed` and `at_least`; tasks of a single step and episodes in error are left out."""
    completed: dict[str, list[int]] = {}
    steps: dict[str, int] = {}
    for result, came in zip(results, progress, strict=True):
        if came is not None and result.error is None and STAGE.format(1) in came.stages:
            steps[result.spec.task] = len(came.stages)
            completed.setdefault(result.spec.task, []).append(len(came.held))
    return {task: _counted(counts, steps[task]) for task, counts in completed.items()}


def _counted(counts: Sequence[int], steps: int) -> dict[str, Any]:
    at_least = {str(k): tally_of([count >= k for count in counts], 0) for k in range(1, steps + 1)}
    return {"steps": steps, "mean_completed": sum(counts) / len(counts), "at_least": at_least}
