"""A claim of speed as two functions that are timed in turn.

    baseline, contender, baseline, contender, ...   ──►   medians, ratio

Taking turns spreads whatever else the machine does over both.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One claim, and what it takes to judge it."""

    claim: str
    """In words, without the figure: the figure is measured."""
    baseline: Callable[[], object]
    """Does `work` units of work the other way."""
    contender: Callable[[], object]
    """Does `work` units of work our way."""
    work: int
    unit: str
    """What is counted in `work`: frames, episodes, tokens."""
    settings: dict[str, object] = dataclasses.field(default_factory=dict)
    repeats: int = 7


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What came of a comparison; times are for all of its work."""

    claim: str
    unit: str
    work: int
    settings: dict[str, object]
    baseline_s: list[float]
    contender_s: list[float]
    baseline_per_s: float
    contender_per_s: float
    ratio: float
    """How many times faster the contender is, by medians."""
    baseline_p99_s: float
    """Ninety-nine of a hundred rounds took no longer; of fewer rounds, the longest."""
    contender_p99_s: float


def measure(comparison: Comparison) -> Measurement:
    """Time both sides in turn; one untimed round comes first."""
    baseline, contender = comparison.baseline, comparison.contender
    baseline()
    contender()
    pairs = [(_seconds(baseline), _seconds(contender)) for _ in range(comparison.repeats)]
    baseline_s, contender_s = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    slow, fast = statistics.median(baseline_s), statistics.median(contender_s)
    return Measurement(
        claim=comparison.claim,
        unit=comparison.unit,
        work=comparison.work,
        settings=comparison.settings,
        baseline_s=baseline_s,
        contender_s=contender_s,
        baseline_per_s=comparison.work / slow,
        contender_per_s=comparison.work / fast,
        ratio=slow / fast,
        baseline_p99_s=_p99(baseline_s),
        contender_p99_s=_p99(contender_s),
    )


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1]


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
