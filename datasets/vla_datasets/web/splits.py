"""Parts of a corpus that share no scene and no picture.

A scene goes to one part as a whole, and so do scenes that show a near-duplicate of each other's pictures.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

from vla.errors import ConfigError, DataError
from vla_datasets.web.near_duplicates import Groups, join_near, looks_at
from vla_datasets.web.samples import WebCorpus, WebSample


class Subset:
    """Some samples of a corpus, in the order of their numbers."""

    def __init__(self, corpus: WebCorpus, indices: Sequence[int], name: str) -> None:
        self._corpus, self._indices, self._name = corpus, tuple(indices), name

    @property
    def name(self) -> str:
        return self._name

    @property
    def indices(self) -> tuple[int, ...]:
        """The samples' numbers in the whole corpus."""
        return self._indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> WebSample:
        if not 0 <= index < len(self):
            raise IndexError(f"{self._name} has samples 0 to {len(self) - 1}, not {index}")
        return self._corpus[self._indices[index]]


def split_by_scene(corpus: WebCorpus, shares: Mapping[str, float], seed: int = 0) -> dict[str, Subset]:
    """The corpus in parts, `{"train": 0.9, "held_out": 0.1}`, with no scene nor near-duplicate in two of them.

    Groups come in an order drawn from the seed and their first sample's source, and each goes to the part that lacks
    most: a part is as large as its share to within one group. Every sample is read once.

    Raises:
        ConfigError: if the shares are not positive numbers that sum to 1.
        DataError: if there are too few groups for every part to get one.
    """
    if not shares or min(shares.values()) <= 0 or not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-9):
        raise ConfigError(f"shares are positive and sum to 1, got {dict(shares)}")
    groups, sources = _groups(corpus)
    parts: dict[str, list[int]] = {name: [] for name in shares}
    for group in _shuffled(groups, sources, seed):
        lacking = max(shares, key=lambda name: shares[name] * len(corpus) - len(parts[name]))
        parts[lacking].extend(group)
    if empty := [name for name, indices in parts.items() if not indices]:
        raise DataError(f"{corpus.name} has too few scenes to split: nothing is left for '{empty[0]}'")
    return {name: Subset(corpus, sorted(indices), f"{corpus.name}/{name}") for name, indices in parts.items()}


def _groups(corpus: WebCorpus) -> tuple[list[tuple[int, ...]], list[str]]:
    """What must stay together, and every sample's source."""
    joined, looks, sources = Groups(len(corpus)), [], []
    first: dict[str, int] = {}
    for index in range(len(corpus)):
        sample = corpus[index]
        if sample.scene:
            joined.join(index, first.setdefault(sample.scene, index))
        looks += looks_at(sample, index)
        sources.append(sample.source)
    join_near(joined, looks)
    return joined.groups(), sources


def _shuffled(groups: list[tuple[int, ...]], sources: Sequence[str], seed: int) -> list[tuple[int, ...]]:
    """The same order wherever a group's first sample stands in the corpus."""
    return sorted(groups, key=lambda group: hashlib.sha256(f"{seed}:{sources[group[0]]}".encode()).digest())
