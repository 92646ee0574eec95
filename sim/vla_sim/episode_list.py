"""The episodes of a report as its page lists them: what is known of each, and what filters read.

report.json: episodes ─► rows ─┬─► one line each ─┐
             videos ───────────┴─► films          ┴─► data attributes ─► report_episodes.js
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vla_sim.jobs import Outcome
from vla_sim.taxonomy import outcome

SORTS = {
    "order": "as evaluated",
    "failures": "failures first",
    "steps": "most steps first",
    "seed": "by seed",
    "entropy": "least certain first",
}
"""What `sort=` can be; the first is the default."""


def with_facts(episodes: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Episodes of a report with how far each came, how it ended, and how sure the policy was.

    Adds `came_to` (`None` where stages are not known, and after an error), `timed_out`, `moved_another` and `entropy`
    (nats, mean of the episode's tokens; `None` if the policy cannot tell).
    """
    return [dict(episode) | _facts(found) for episode, found in zip(episodes, outcomes, strict=True)]


def listed(episodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Episodes with the attributes by which a page's script filters and sorts them."""
    return [{**episode, "data": _data(index, episode)} for index, episode in enumerate(episodes)]


def key(episode: Mapping[str, Any]) -> str:
    """Names an episode in addresses and files."""
    return f"{episode['task']}-{episode['seed']}"


def _facts(found: Outcome) -> dict[str, Any]:
    is_told = found.progress is not None and found.result.error is None
    return {
        "came_to": found.progress.came_to if is_told and found.progress is not None else None,
        "moved_another": bool(found.progress is not None and found.progress.moved_another),
        "timed_out": found.timed_out,
        "entropy": None if found.entropy is None else round(found.entropy.mean, 4),
    }


def _data(index: int, episode: Mapping[str, Any]) -> dict[str, str]:
    """By attribute, without its `data-`."""
    flags = [name for name in ("timed_out", "moved_another") if episode.get(name)]
    entropy = episode.get("entropy")
    return {
        "key": key(episode),
        "order": str(index),
        "task": episode["task"],
        "seed": str(episode["seed"]),
        "outcome": outcome(episode),
        "stage": (episode.get("came_to") or "") if outcome(episode) == "failed" else "",
        "flags": " ".join(flags),
        "steps": str(episode["steps"]),
        "entropy": "" if entropy is None else str(entropy),
    }
