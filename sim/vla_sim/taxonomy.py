"""The ways in which episodes end, in words, counted, each with a link to the episodes it counts.

    success | error | failure ─┬─ how far it came: start, reached, grasped or contacted, moved, placed
                               ├─ how it ended: timed out, or the environment ended it
                               └─ what else it did: moved another thing

Everything is counted from the list of episodes that the page shows, so that a count and its list are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

OUTCOMES = {
    "succeeded": "did what was asked",
    "failed": "was carried out to its end and did not do what was asked",
    "error": "ended in an exception, which says nothing of the policy",
}
"""Every episode is one of these."""

STAGE_MEANING = {
    "start": "came to nothing: not even the first stage was reached",
    "reached": "the gripper came to the thing it was told to act on, and did not get hold of it",
    "near": "the gripper came to the thing it was told to act on, and did nothing with it",
    "contacted": "the gripper touched the thing it was told to act on, and did not move it",
    "grasped": "the fingers closed around the thing, and it did not leave its place",
    "moved": "the thing left its place, and did not come to where it should",
    "placed": "the thing came to where it should, and was not let go or did not come to rest",
}
"""What a failure did that got stuck at a stage."""

FLAG_MEANING = {
    "timed_out": "ran out of steps; other failures were ended by their environment",
    "moved_another": "a thing that the instruction does not speak of left its place",
}
"""What may be said of a failure besides."""


def outcome(episode: Mapping[str, Any]) -> str:
    """Which of `OUTCOMES` an episode of a report is."""
    if episode["error"] is not None:
        return "error"
    return "succeeded" if episode["success"] else "failed"


def stage_meaning(stage: str) -> str:
    """What a failure did that got stuck there; a stage that is not ours speaks for itself."""
    return STAGE_MEANING.get(stage, f"came as far as '{stage.replace('_', ' ')}', and no farther")


def filter_link(*flags: str, **choices: str | int) -> str:
    """The part of an address that shows some episodes of a page alone.

    Args:
        flags: one of `OUTCOMES`, and any of `FLAG_MEANING`.
        choices: `task`, `stage`, `words`, `sort`, `episode`.
    """
    parts = [f"{name}={quote(str(value), safe='')}" for name, value in choices.items()] + list(flags)
    return "#" + "&".join(parts)


def taxonomy(episodes: Sequence[Mapping[str, Any]], stages: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each task with failures or errors, and one of all: counts by name, each with its link.

    Args:
        stages: in their order; every row has a cell for each.
    """
    wrong = [episode for episode in episodes if outcome(episode) != "succeeded"]
    tasks = dict.fromkeys(episode["task"] for episode in wrong)
    rows = [
        {"task": task, "cells": _cells([e for e in wrong if e["task"] == task], stages, {"task": task})}
        for task in tasks
    ]
    return rows if len(rows) < 2 else [*rows, {"task": None, "cells": _cells(wrong, stages, {})}]


def stage_names(episodes: Sequence[Mapping[str, Any]], known: Mapping[str, Any]) -> list[str]:
    """Every stage that a failure can have got stuck at: those that have a meaning here, and then others.

    Args:
        known: `stages` of a report.
    """
    told = [name for row in known.values() for name in row["came_to"]]
    found = dict.fromkeys([*told, *(e["came_to"] for e in episodes if e.get("came_to") and _is_failure(e))])
    ours = [name for name in STAGE_MEANING if name in found]
    return [*ours, *(name for name in found if name not in STAGE_MEANING)]


def _cells(
    wrong: Sequence[Mapping[str, Any]], stages: Sequence[str], choices: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    failures = [episode for episode in wrong if _is_failure(episode)]
    cells = {"failed": (len(failures), filter_link("failed", **choices))}
    for stage in stages:
        count = sum(episode.get("came_to") == stage for episode in failures)
        cells[stage] = (count, filter_link("failed", **choices, stage=stage))
    for flag in FLAG_MEANING:
        cells[flag] = (sum(bool(e.get(flag)) for e in failures), filter_link("failed", flag, **choices))
    cells["error"] = (len(wrong) - len(failures), filter_link("error", **choices))
    return {name: {"count": count, "link": link} for name, (count, link) in cells.items()}


def _is_failure(episode: Mapping[str, Any]) -> bool:
    return outcome(episode) == "failed"
