"""What `clock=` can be, and what a report says of episodes that went by the clock."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vla_policies.wall_rollout import WallStats

MOST_SLOW = 0.01
"""The share of control steps that may take longer to simulate than they last."""


class Clock(enum.Enum):
    """Whose time passes while a policy computes."""

    SIMULATED = "simulated"
    """None but the delay that is asked for: outcomes depend on seeds alone."""
    WALL = "wall"
    """That of the clock on the wall: the world does not wait."""


def wall_tree(stats: Sequence[WallStats], *, control_hz: float, delay_s: float) -> dict[str, Any]:
    """How a run kept time, over all its episodes.

    Returns:
        `steps`; `stale` and `missing`, shares of them; `control_hz` that was asked for, `realised_hz` of the world's
        steps by the clock, `acted_hz` of those with an action; `latency_ms` of predictions with the added delay;
        `slow`, the share of steps that the simulator took too long for, and `void`, whether these are too many.
    """
    steps, seconds = sum(one.steps for one in stats), sum(one.seconds for one in stats)
    missing = sum(one.missing for one in stats)
    slow = _share(sum(one.slow for one in stats), steps)
    return {
        "steps": steps,
        "stale": _share(sum(one.stale for one in stats), steps),
        "missing": _share(missing, steps),
        "control_hz": control_hz,
        "realised_hz": round(steps / seconds, 3) if seconds else None,
        "acted_hz": round((steps - missing) / seconds, 3) if seconds else None,
        "delay_ms": round(1e3 * delay_s, 3),
        "latency_ms": _percentiles([latency for one in stats for latency in one.latencies_s]),
        "slow": slow,
        "void": slow > MOST_SLOW,
    }


def told(tree: Mapping[str, Any]) -> list[str]:
    """What a wall-clock tree says, in sentences; the first whether the number holds at all."""
    lines = []
    if tree["void"]:
        lines.append(
            f"VOID: the simulator was too slow for real time in {100 * tree['slow']:.1f} % of the control steps; "
            "this success rate is none of a world that does not wait: use a faster machine, or fewer workers"
        )
    latency = tree["latency_ms"]
    if latency["p50"] is not None:
        lines.append(
            f"the world did not wait: a chunk took {latency['p50']:.3g} ms (p50), {latency['p95']:.3g} ms (p95), "
            f"{latency['p99']:.3g} ms (p99), {tree['delay_ms']:.3g} ms of it added"
        )
    lines.append(
        f"{100 * tree['stale']:.1f} % of {tree['steps']} control steps went on under an older chunk, "
        f"{100 * tree['missing']:.1f} % without an action; {_hz(tree['realised_hz'])} steps and "
        f"{_hz(tree['acted_hz'])} actions a second, of {tree['control_hz']:g}"
    )
    return lines


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _hz(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.2f}"


def _percentiles(seconds: Sequence[float]) -> dict[str, float | int | None]:
    if not seconds:
        return {"p50": None, "p95": None, "p99": None, "calls": 0}
    p50, p95, p99 = np.percentile([1e3 * one for one in seconds], [50, 95, 99])
    return {
        "p50": round(float(p50), 3),
        "p95": round(float(p95), 3),
        "p99": round(float(p99), 3),
        "calls": len(seconds),
    }
