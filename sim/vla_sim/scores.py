"""From the results of episodes to the numbers of a report.

`n` counts the episodes that were carried out; those that ended in an error stand beside it (`vla_sim.tally`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vla.embodiment import Embodiment
from vla_policies.baselines import GRIPPER_FIELD
from vla_policies.rollout import PredictCall, RolloutResult
from vla_sim.tally import carried_out, tally, tally_of


def scores(results: Sequence[RolloutResult]) -> dict[str, Any]:
    """`overall`, `tasks`, `episodes` and `errors`; tasks in the order of the results."""
    tasks = dict.fromkeys(result.spec.task for result in results)
    return {
        "overall": tally(results),
        "tasks": {task: tally([result for result in results if result.spec.task == task]) for task in tasks},
        "episodes": [_episode(result) for result in results],
        "errors": sum(result.error is not None for result in results),
    }


def group_scores(results: Sequence[RolloutResult], groups: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Success of each group of tasks that was tried, over all its episodes, as `tally` gives it."""
    found = {name: [r for r in results if r.spec.task in tasks] for name, tasks in groups.items()}
    return {name: tally(own) for name, own in found.items() if own}


def pair_scores(results: Sequence[RolloutResult], sets: Sequence[Sequence[str]]) -> dict[str, dict[str, Any]]:
    """For tasks that share their scenes, `TASK+TASK`: how often all of them were right in the same scene.

    Sets whose tasks were not all tried at some seed are left out.
    """
    tree = {}
    for tasks in sets:
        tried, successes = len(set_seeds(results, tasks)), set_successes(results, tasks)
        if tried:
            tree["+".join(tasks)] = tally_of(successes, tried - len(successes))
    return tree


def set_seeds(results: Iterable[RolloutResult], tasks: Sequence[str]) -> list[int]:
    """The seeds at which all these tasks were tried."""
    found = list(results)
    first, *others = ([r.spec.seed for r in found if r.spec.task == task] for task in tasks)
    return [seed for seed in first if all(seed in set(other) for other in others)]


def set_successes(results: Iterable[RolloutResult], tasks: Sequence[str]) -> list[bool]:
    """For each seed at which all these tasks were carried out: whether all were right."""
    done = carried_out(results)
    right = {(r.spec.task, r.spec.seed): r.success for r in done}
    return [all(right[task, seed] for task in tasks) for seed in set_seeds(done, tasks)]


def latency(calls: Sequence[PredictCall]) -> dict[str, float | int | None]:
    """Percentiles of the duration of a call in ms, how many calls, and how many observations they had on average."""
    if not calls:
        return {"p50": None, "p95": None, "p99": None, "calls": 0, "mean_batch_size": None}
    p50, p95, p99 = np.percentile([1e3 * call.seconds for call in calls], [50, 95, 99])
    return {
        "p50": round(float(p50), 3),
        "p95": round(float(p95), 3),
        "p99": round(float(p99), 3),
        "calls": len(calls),
        "mean_batch_size": round(float(np.mean([call.batch_size for call in calls])), 2),
    }


def seam_jumps(results: Sequence[RolloutResult], embodiment: Embodiment) -> dict[str, float | int | None]:
    """How far actions jump where one chunk takes over from another, and elsewhere.

    A jump is the largest change of a field from one action to the next, in half-ranges of the field's limits. The
    gripper does not count: it is meant to go from end to end at once.
    """
    moves = np.array([field.name != GRIPPER_FIELD for field in embodiment.action])
    half = ((embodiment.action_high - embodiment.action_low) / 2)[moves]
    at_seams: list[np.ndarray] = [np.zeros(0)]
    elsewhere: list[np.ndarray] = [np.zeros(0)]
    for result in results:
        jumps = (np.abs(np.diff(result.actions[:, moves], axis=0)) / half).max(axis=1, initial=0.0)
        is_seam = np.zeros(len(jumps), bool)
        is_seam[np.array(result.seams, int) - 1] = True
        at_seams.append(jumps[is_seam])
        elsewhere.append(jumps[~is_seam])
    seams, others = np.concatenate(at_seams), np.concatenate(elsewhere)
    return {
        "n": len(seams),
        "p50": _percentile(seams, 50),
        "p99": _percentile(seams, 99),
        "elsewhere_p50": _percentile(others, 50),
        "elsewhere_p99": _percentile(others, 99),
    }


def _percentile(values: np.ndarray, percent: int) -> float | None:
    return round(float(np.percentile(values, percent)), 4) if len(values) else None


def _episode(result: RolloutResult) -> dict[str, Any]:
    return {
        "task": result.spec.task,
        "seed": result.spec.seed,
        "instruction": result.instruction,
        "success": result.success,
        "steps": result.steps,
        "error": result.error,
    }
