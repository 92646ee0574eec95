"""Many sources as one endless stream of samples, whose k-th is known without the ones before it.

    position k ─► interleaving by weight ─► source, and its n-th sample ─► epoch n ÷ length ─► shuffled order ─► item

Nothing is drawn by chance and nothing is remembered: the stream follows from the sources' names, lengths and weights
and from a seed. So it resumes at any position at no cost, and any number of processes can each make their part of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from vla.errors import ConfigError
from vla_datasets.mixing.interleaving import Interleaving
from vla_datasets.mixing.permutation import Permutation

ORDER_VERSION = 1
"""Of the rules that make the stream; a state of another version is refused."""


@runtime_checkable
class Source[T](Protocol):
    """Samples by number: a web corpus, the frames of a store, lines of text."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> T: ...


@dataclasses.dataclass(frozen=True)
class SourceShare:
    """What a mixture knows of a source."""

    name: str
    length: int
    """Samples in an epoch."""
    weight: float
    """Of its samples among all; only ratios count."""
    content: str = ""
    """A hash of what the source holds, where that is known: one that changed is not resumed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Draw:
    """One place in the stream."""

    position: int
    """In the stream, counted from 0."""
    source: int
    """Which of the mixture's sources."""
    name: str
    """Of the source."""
    epoch: int
    """Of the source, counted from 0; each of its samples comes once an epoch."""
    item: int
    """In the source."""

    def __str__(self) -> str:
        return f"item {self.item} of source '{self.name}' (epoch {self.epoch}, position {self.position})"


class Mixture:
    """The stream of some sources."""

    def __init__(self, sources: Sequence[SourceShare], seed: int) -> None:
        """Of `sources`; another seed is another order of each source's samples.

        Raises:
            ConfigError: naming the source that is empty or there twice, or whose weight is not above 0.
        """
        _check(sources, seed)
        self.sources = tuple(sources)
        self.seed = seed
        self._interleaving = Interleaving([source.weight for source in sources])
        self._orders: dict[int, tuple[int, Permutation]] = {}  # by source: of the epoch last asked for

    def draw(self, position: int) -> Draw:
        """Which sample is at a position."""
        if position < 0:
            raise IndexError(f"positions are counted from 0, got {position}")
        source, number = self._interleaving.at(position)
        share = self.sources[source]
        epoch, place = divmod(number, share.length)
        return Draw(position, source, share.name, epoch, self._order(source, epoch)[place])

    def counts(self, num: int) -> dict[str, int]:
        """How many of the first `num` samples are each source's."""
        return dict(zip((source.name for source in self.sources), self._interleaving.counts(num), strict=True))

    def report(self, num: int) -> list[RealisedShare]:
        """What the first `num` samples realise of the weights."""
        total, counts = sum(source.weight for source in self.sources), self.counts(num)
        return [
            RealisedShare(
                name=source.name,
                wanted=source.weight / total,
                realised=counts[source.name] / num if num else 0.0,
                samples=counts[source.name],
                epochs=counts[source.name] / source.length,
            )
            for source in self.sources
        ]

    def identity(self) -> dict[str, Any]:
        """All that the stream follows from, as JSON values."""
        sources = [dataclasses.asdict(source) for source in self.sources]
        return {"order": ORDER_VERSION, "seed": self.seed, "sources": sources}

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that stand for this very stream."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    def require_same(self, identity: Mapping[str, Any]) -> None:
        """Return if this is the stream of an identity.

        Raises:
            ConfigError: naming every difference.
        """
        if lines := _differences(identity, self.identity()):
            raise ConfigError(
                f"the mixture to resume is another one: {'; '.join(lines)}. Restore the sources, or begin anew"
            )

    def _order(self, source: int, epoch: int) -> Permutation:
        held = self._orders.get(source)
        if held is None or held[0] != epoch:
            share = self.sources[source]
            held = self._orders[source] = (epoch, Permutation(share.length, self.seed, share.name, epoch))
        return held[1]


@dataclasses.dataclass(frozen=True)
class RealisedShare:
    """What a part of the stream has of one source."""

    name: str
    wanted: float
    """Share of the samples that its weight says."""
    realised: float
    """Share of the samples that are its."""
    samples: int
    epochs: float
    """Passes over the source."""


def _check(sources: Sequence[SourceShare], seed: int) -> None:
    if not sources or seed < 0:
        raise ConfigError(f"a mixture needs one source or more and a seed ≥ 0, got {len(sources)} and {seed}")
    names = [source.name for source in sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"source '{twice[0]}' is there twice: give each a name of its own, or add their weights")
    for source in sources:
        if source.length < 1:
            raise ConfigError(f"source '{source.name}' has no samples: leave it out")
        if not 0 < source.weight < float("inf"):
            raise ConfigError(f"source '{source.name}' needs a finite weight above 0, got {source.weight}")


def _differences(held: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{name} {held.get(name)} against {own[name]}" for name in ("order", "seed") if held.get(name) != own[name]
    ]
    before = {source["name"]: source for source in held.get("sources", [])}
    now = {source["name"]: source for source in own["sources"]}
    lines += [f"source '{name}' is gone" for name in before if name not in now]
    lines += [f"source '{name}' is new" for name in now if name not in before]
    for name in (name for name in now if name in before):
        lines += [
            f"{key} of '{name}' {before[name].get(key)!r} against {value!r}"
            for key, value in now[name].items()
            if before[name].get(key) != value
        ]
    if not lines and list(before) != list(now):
        lines.append(f"sources in the order {', '.join(before)} against {', '.join(now)}")
    return lines
