"""The four difficulty groups of Meta-World, and the two averages that results are published with.

Success is either the mean of the four groups or the mean of the fifty tasks: 28 of the tasks are easy ones, so that the
second is the higher of the two for nearly every policy. A result without its convention says little.

Source of the groups: Seo et al. 2022, arXiv:2206.14244, appendix F; SmolVLA (arXiv:2506.01844) reports their mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vla_policies.rollout import RolloutResult
from vla_sim.scores import group_scores
from vla_sim.tally import tally

DIFFICULTY = {
    "easy": (
        "button_press",
        "button_press_topdown",
        "button_press_topdown_wall",
        "button_press_wall",
        "coffee_button",
        "dial_turn",
        "door_close",
        "door_lock",
        "door_open",
        "door_unlock",
        "drawer_close",
        "drawer_open",
        "faucet_close",
        "faucet_open",
        "handle_press",
        "handle_press_side",
        "handle_pull",
        "handle_pull_side",
        "lever_pull",
        "peg_unplug_side",
        "plate_slide",
        "plate_slide_back",
        "plate_slide_back_side",
        "plate_slide_side",
        "reach",
        "reach_wall",
        "window_close",
        "window_open",
    ),
    "medium": (
        "basketball",
        "bin_picking",
        "box_close",
        "coffee_pull",
        "coffee_push",
        "hammer",
        "peg_insert_side",
        "push_wall",
        "soccer",
        "sweep",
        "sweep_into",
    ),
    "hard": ("assembly", "hand_insert", "pick_out_of_hole", "pick_place", "push", "push_back"),
    "very_hard": ("disassemble", "pick_place_wall", "shelf_place", "stick_pull", "stick_push"),
}
"""Tasks by group, the easiest group first."""


def metaworld_groups(results: Sequence[RolloutResult]) -> dict[str, dict[str, Any]]:
    """Success of each difficulty group that was tried, over all its episodes, as `tally` gives it."""
    return group_scores(results, DIFFICULTY)


def metaworld_averages(results: Sequence[RolloutResult]) -> dict[str, float | None]:
    """Both conventions, over the tasks that were tried; every task weighs the same inside its group.

    Returns:
        `mean_of_groups` and `mean_of_tasks`, each from 0 to 1. They are comparable with published ones only if all
        fifty tasks were tried. `None` if every episode of some task ended in an error: without it the average would
        be another one.
    """
    by_task = _success_by_task(results)
    if not by_task:
        return {"mean_of_groups": None, "mean_of_tasks": None}
    groups = [[by_task[task] for task in tasks if task in by_task] for tasks in DIFFICULTY.values()]
    return {
        "mean_of_groups": _mean([_mean(group) for group in groups if group]),
        "mean_of_tasks": _mean(list(by_task.values())),
    }


def _success_by_task(results: Sequence[RolloutResult]) -> Mapping[str, float]:
    """By task that was tried, of the episodes carried out; empty if one task has none of these."""
    tasks = dict.fromkeys(result.spec.task for result in results)
    rates = {task: tally([r for r in results if r.spec.task == task])["success"] for task in tasks}
    return {} if None in rates.values() else rates


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
