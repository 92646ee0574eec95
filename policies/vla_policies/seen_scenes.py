"""The scenes that a checkpoint was trained on, by task and seed: short enough to travel in its manifest.

{"stack": [[0, 99], [2000, 2024]]}     seeds, first and last of each unbroken run
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

type Ranges = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class SeenScenes:
    """Seeds by task, in runs that touch nowhere, the lowest first."""

    ranges: Mapping[str, Ranges] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, scenes: Iterable[tuple[str, int]]) -> SeenScenes:
        """Of these tasks and seeds, in any order, repeated or not."""
        seeds: dict[str, set[int]] = {}
        for task, seed in scenes:
            seeds.setdefault(task, set()).add(seed)
        return cls({task: _ranges(sorted(mine)) for task, mine in sorted(seeds.items())})

    def __contains__(self, scene: tuple[str, int]) -> bool:
        task, seed = scene
        return any(first <= seed <= last for first, last in self.ranges.get(task, ()))

    def __len__(self) -> int:
        return sum(last - first + 1 for runs in self.ranges.values() for first, last in runs)

    def __or__(self, other: SeenScenes) -> SeenScenes:
        return SeenScenes.of(itertools.chain(self, other))

    def to_json(self) -> dict[str, list[list[int]]]:
        return {task: [list(run) for run in runs] for task, runs in self.ranges.items()}

    @classmethod
    def from_json(cls, tree: Any) -> SeenScenes:
        """Read what `to_json` wrote.

        Raises:
            ValueError, TypeError: if it is anything else.
        """
        if not isinstance(tree, dict):
            raise TypeError(f"expected seeds by task, got {type(tree).__name__}")
        return cls({str(task): tuple(_run(run) for run in runs) for task, runs in tree.items()})

    def __iter__(self) -> Iterator[tuple[str, int]]:
        for task, runs in self.ranges.items():
            for first, last in runs:
                yield from ((task, seed) for seed in range(first, last + 1))


def _ranges(seeds: Sequence[int]) -> Ranges:
    runs: list[tuple[int, int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], seed)
        else:
            runs.append((seed, seed))
    return tuple(runs)


def _run(run: Any) -> tuple[int, int]:
    first, last = run
    if type(first) is not int or type(last) is not int or first > last:
        raise ValueError(f"expected the first and last seed of a run, got {run}")
    return first, last
