"""Split a store into parts for training and for measuring, so that nothing of one is in the other.

    episodes ─► units: what must stay together ─► parts, by share

Episodes stay together if they are of one task or instruction, where that is what is split by; if they are
near-duplicates; or if they are of the same scene (`vla_datasets.upkeep.near_duplicates` says what both mean). This
carries on: if a goes with b, and b with c, the three are one unit.

Units are dealt out the largest first, equal ones in an order that the seed decides, each to the part that lacks most of
its share, in the unit's task and altogether. So every task is in every part if it has episodes enough.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from vla.errors import ConfigError
from vla_datasets.store import EpisodeRow, EpisodeStore
from vla_datasets.upkeep.episode_workers import map_episodes
from vla_datasets.upkeep.near_duplicates import Likeness, near_duplicates, same_pictures


class By(enum.Enum):
    """What is never in two parts."""

    EPISODE = "episode"
    TASK = "task"
    """For success on tasks that were never trained on."""
    INSTRUCTION = "instruction"
    """For wordings that were never trained on."""


@dataclasses.dataclass(frozen=True)
class Split:
    """Which episodes are in which part."""

    parts: Mapping[str, tuple[str, ...]]
    """Ids by part, sorted; together all episodes of the store, each once."""
    by: By
    shares: Mapping[str, float]
    """As asked for."""
    seed: int
    num_units: int
    num_together: int
    """Episodes that share a unit with others because they are near-duplicates or of one scene."""


def split(
    store: EpisodeStore,
    shares: Mapping[str, float],
    by: By = By.EPISODE,
    seed: int = 0,
    *,
    workers: int = 0,
    progress: bool = True,
) -> Split:
    """Deal out every episode of a store.

    Args:
        shares: of the episodes, by part; positive, together 1.
        seed: decides between units of one size.
        workers: processes that read episodes; 0 for as many as there are cores and work for.

    Raises:
        ConfigError: if the shares are no shares, or a part would be empty.
        StoreError: if an episode is damaged.
    """
    _check_shares(shares)
    rows = store.index()
    keys = [row.id for row in rows]
    likenesses = list(map_episodes(store, keys, likeness_of, title="comparing", workers=workers, progress=progress))
    alike = together(rows, likenesses)
    units = _components(len(rows), [*alike, *_same_name(rows, by)])
    dealt = _deal(units, rows, shares, seed)
    for part, members in dealt.items():
        if not members:
            raise ConfigError(f"part '{part}' would be empty: {len(units)} units by {by.value} cannot give it a share")
    return Split(
        parts={part: tuple(sorted(keys[index] for index in members)) for part, members in dealt.items()},
        by=by,
        shares=dict(shares),
        seed=seed,
        num_units=len(units),
        num_together=sum(len(unit) for unit in _components(len(rows), alike) if len(unit) > 1),
    )


def likeness_of(store: EpisodeStore, key: str) -> Likeness:
    """What one episode is compared by."""
    return Likeness.of(key, store.read(key))


def together(rows: Sequence[EpisodeRow], likenesses: Sequence[Likeness]) -> list[tuple[int, int]]:
    """Pairs of episodes of which one tells what the other holds; `rows` and `likenesses` in one order."""
    pairs = list(near_duplicates(likenesses))
    by_seed: dict[int, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_seed[row.seed].append(index)
    for members in by_seed.values():
        for at, i in enumerate(members):
            pairs += [(i, j) for j in members[at + 1 :] if _is_same_scene(i, j, rows, likenesses)]
    return pairs


# --------------------------------------------------------------------------- what stays together


def _is_same_scene(i: int, j: int, rows: Sequence[EpisodeRow], likenesses: Sequence[Likeness]) -> bool:
    return rows[i].task == rows[j].task or same_pictures(likenesses[i], likenesses[j])


def _same_name(rows: Sequence[EpisodeRow], by: By) -> list[tuple[int, int]]:
    if by is By.EPISODE:
        return []
    first: dict[str, int] = {}
    names = [row.task if by is By.TASK else " ".join(row.instruction.casefold().split()) for row in rows]
    return [(first.setdefault(name, index), index) for index, name in enumerate(names)]


def _components(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """What hangs together of 0 ... count - 1, each in order, by their first."""
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    for i, j in pairs:
        low, high = sorted((root(i), root(j)))
        parent[high] = low
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(count):
        groups[root(index)].append(index)
    return list(groups.values())


# --------------------------------------------------------------------------- who gets what


def _deal(
    units: Sequence[Sequence[int]], rows: Sequence[EpisodeRow], shares: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    order = np.random.default_rng(seed).permutation(len(units))
    dealt: dict[str, list[int]] = {part: [] for part in shares}
    seen: Counter[str] = Counter()
    got: Counter[tuple[str, str]] = Counter()
    for unit in sorted((units[index] for index in order), key=len, reverse=True):
        places = ("everywhere", f"task {rows[unit[0]].task}")
        seen.update(dict.fromkeys(places, len(unit)))
        lacking = {part: sum(share * seen[p] - got[p, part] for p in places) for part, share in shares.items()}
        part = max(lacking, key=lacking.__getitem__)
        got.update({(place, part): len(unit) for place in places})
        dealt[part] += unit
    return dealt


def _check_shares(shares: Mapping[str, float]) -> None:
    if len(shares) < 2 or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-6:
        listed = ", ".join(f"{part} {share:g}" for part, share in shares.items())
        raise ConfigError(f"shares are positive, together 1, of two parts or more; got {listed}")
