"""When an evaluation has seen enough: at fixed looks, as soon as the interval is as narrow as was asked for.

    look at 10 episodes of each task ─► narrow enough? ─ no ─► at 20 ─► ... ─► at `episodes`
                                             └─ yes ─► stop

The criterion is precision, and never which way the result points. It is stated beforehand, and looked at after whole
blocks, each the next seeds of every task: so the number of episodes depends on outcomes alone, not on which process
was quicker, and every task has the same number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from vla_sim.intervals import wilson_interval

LOOK_EVERY = 10
"""Episodes of each task between two looks."""


@dataclasses.dataclass(frozen=True)
class Stop:
    """Where an evaluation ended."""

    until: float
    """The half-width that was asked for."""
    half_width: float
    """The half-width at the end: larger than asked for if the episodes were used up."""
    looks: int
    episodes: int
    """Of each task."""

    def to_json(self) -> dict[str, float | int]:
        return dataclasses.asdict(self)


def half_width(outcomes: Sequence[bool]) -> float:
    """Of Wilson's 95 % interval; 0.5 of no outcomes, after which any rate is possible."""
    if not outcomes:
        return 0.5
    low, high = wilson_interval(sum(outcomes), len(outcomes))
    return (high - low) / 2


def looks(episodes: int, every: int = LOOK_EVERY) -> list[tuple[int, int]]:
    """The blocks between looks: first and end of the episodes of each task."""
    return [(first, min(first + every, episodes)) for first in range(0, episodes, every)]


def stop_when_sure[R](
    run_block: Callable[[int, int], Sequence[R]],
    is_success: Callable[[R], bool | None],
    *,
    episodes: int,
    until: float,
    every: int = LOOK_EVERY,
) -> tuple[list[R], Stop]:
    """Run block after block until the overall interval is narrow enough, or the episodes are used up.

    Args:
        run_block: does the episodes first ... end - 1 of every task.
        is_success: of one result; `None` if the episode was not carried out, and so tells nothing.
        episodes: of each task, at most.
        until: half-width of the Wilson 95 % interval over all that was run.

    Returns:
        All results, block after block, and where it ended.

    Raises:
        ValueError: if there are no episodes.
    """
    results: list[R] = []
    blocks = looks(episodes, every)
    for look, (first, end) in enumerate(blocks, start=1):
        results += run_block(first, end)
        width = half_width([known for result in results if (known := is_success(result)) is not None])
        if width <= until or look == len(blocks):
            return results, Stop(until, width, look, end)
    raise ValueError(f"expected at least one episode, got {episodes}")
