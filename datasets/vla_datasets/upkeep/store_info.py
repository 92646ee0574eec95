"""What is in a store, from its index and manifests alone: no array is read."""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from vla.embodiment import Embodiment
from vla_datasets.store import EpisodeRow, EpisodeStore
from vla_datasets.upkeep.store_contents import file_sizes


@dataclasses.dataclass(frozen=True)
class Part:
    """The episodes of one task by one source."""

    task: str
    source: str
    episodes: int
    successes: int
    steps: int


@dataclasses.dataclass(frozen=True)
class StoreInfo:
    """What is in one store."""

    store: str
    embodiment: Embodiment
    image_codec: str
    metadata: dict[str, Any]
    parts: tuple[Part, ...]
    """By task, then source."""
    instructions: tuple[tuple[str, int], ...]
    """Each wording and how many episodes have it, the most frequent first."""
    licences: tuple[tuple[str, int], ...]
    """The same."""
    steps_shortest: int
    steps_median: float
    steps_longest: int
    array_bytes: tuple[tuple[str, int], ...]
    """On disk, by array: `image_scene`, `numbers`; manifests are left out."""
    uncommitted: int

    @property
    def episodes(self) -> int:
        return sum(part.episodes for part in self.parts)

    @property
    def steps(self) -> int:
        return sum(part.steps for part in self.parts)

    @property
    def hours(self) -> float:
        """Of robot time."""
        return self.steps / self.embodiment.control_hz / 3600

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.array_bytes)

    def to_json(self) -> dict[str, Any]:
        """A tree of JSON values."""
        return {
            "store": self.store,
            "episodes": self.episodes,
            "steps": self.steps,
            "hours": self.hours,
            "uncommitted": self.uncommitted,
            "parts": [dataclasses.asdict(part) for part in self.parts],
            "instructions": dict(self.instructions),
            "licences": dict(self.licences),
            "steps_an_episode": {
                "shortest": self.steps_shortest,
                "median": self.steps_median,
                "longest": self.steps_longest,
            },
            "bytes": self.bytes,
            "array_bytes": dict(self.array_bytes),
            "image_codec": self.image_codec,
            "embodiment": self.embodiment.to_json(),
            "fingerprint": self.embodiment.fingerprint,
            "metadata": self.metadata,
        }


def info_of(store: EpisodeStore) -> StoreInfo:
    """What is in a store that is not empty.

    Raises:
        StoreError: if a manifest is altered or missing.
    """
    rows = store.index()
    lengths = [row.num_steps for row in rows]
    return StoreInfo(
        store=store.name,
        embodiment=store.embodiment,
        image_codec=store.image_codec.value,
        metadata=dict(store.metadata),
        parts=_parts(rows),
        instructions=tuple(Counter(row.instruction for row in rows).most_common()),
        licences=tuple(Counter(row.licence for row in rows).most_common()),
        steps_shortest=min(lengths),
        steps_median=float(statistics.median(lengths)),
        steps_longest=max(lengths),
        array_bytes=_array_bytes(store, rows),
        uncommitted=len(store.uncommitted()),
    )


def _parts(rows: Sequence[EpisodeRow]) -> tuple[Part, ...]:
    groups: dict[tuple[str, str], list[EpisodeRow]] = {}
    for row in rows:
        groups.setdefault((row.task, row.source), []).append(row)
    return tuple(
        Part(task, source, len(own), sum(row.success for row in own), sum(row.num_steps for row in own))
        for (task, source), own in sorted(groups.items())
    )


def _array_bytes(store: EpisodeStore, rows: Sequence[EpisodeRow]) -> tuple[tuple[str, int], ...]:
    totals: Counter[str] = Counter()
    for row in rows:
        for name, size in file_sizes(store, row.id).items():
            totals[name.partition("/")[0]] += size
    return tuple(totals.most_common())
