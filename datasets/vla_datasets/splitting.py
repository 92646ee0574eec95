"""Split a store into parts for training and for measuring, so that nothing of one is in the other.

    episodes ─► units: what must stay together ─► parts, by share ─► split.json ─► load_split

Episodes stay together if they are of one task or instruction, where that is what is split by; if they are
near-duplicates; or if they are of the same scene (`vla_datasets.near_duplicates` says what both mean). This carries on:
if a goes with b, and b with c, the three are one unit.

Units are dealt out the largest first, equal ones in an order that the seed decides, each to the part that lacks most of
its share, in the unit's task and altogether. So every task is in every part if it has episodes enough.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla.errors import ConfigError, StoreError
from vla.files import write_atomically
from vla_datasets.episode_workers import map_episodes
from vla_datasets.near_duplicates import Likeness, near_duplicates, same_pictures
from vla_datasets.store import EpisodeRow, EpisodeStore
from vla_datasets.upkeep import digest

FORMAT = "vla-split"
VERSION = 1


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


def save_split(path: Path, split: Split, store: EpisodeStore) -> None:
    """Write the split as JSON, with a digest of every episode."""
    parts = {part: {key: digest(store, key) for key in keys} for part, keys in split.parts.items()}
    tree = {
        "format": FORMAT,
        "version": VERSION,
        "store": store.name,
        "embodiment": store.embodiment.fingerprint,
        "fingerprint": _fingerprint(parts),
        "by": split.by.value,
        "seed": split.seed,
        "shares": dict(split.shares),
        "units": split.num_units,
        "parts": parts,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(tree, indent=1) + "\n")


def load_split(path: str | Path, store: EpisodeStore) -> dict[str, list[str]]:
    """The ids of the episodes in each part, if the store is the one that was split.

    Raises:
        StoreError: if the file is absent, altered or no split; or if the store has gained, lost or changed an episode.
    """
    tree = _read(Path(path))
    promised = {key: value for part in tree["parts"].values() for key, value in part.items()}
    found = {key: digest(store, key) for key in store}
    differing = {
        "gained": sorted(found.keys() - promised.keys()),
        "lost": sorted(promised.keys() - found.keys()),
        "changed": sorted(key for key in found.keys() & promised.keys() if found[key] != promised[key]),
    }
    told = [f"has {what} {len(keys)} episodes ({keys[0]}, ...)" for what, keys in differing.items() if keys]
    if told:
        raise StoreError(f"store {store.name} is not as split {path} found it: it {'; it '.join(told)}. Split it anew")
    return {part: sorted(keys) for part, keys in tree["parts"].items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_bytes())
        kind = (tree["format"], tree["version"])
        is_sealed = kind != (FORMAT, VERSION) or tree["fingerprint"] == _fingerprint(tree["parts"])
    except FileNotFoundError:
        raise StoreError(f"there is no split at {path}: `vla data split` makes one") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise StoreError(f"{path} is no split of a store") from None
    if kind != (FORMAT, VERSION):
        raise StoreError(f"{path} is written as {kind[0]} {kind[1]}, this release reads {FORMAT} {VERSION}")
    if not is_sealed:
        raise StoreError(f"{path} is altered: its parts do not have the fingerprint beside them")
    return tree


def _fingerprint(parts: Mapping[str, Mapping[str, str]]) -> str:
    """SHA-256 of the parts: of which episodes, in which state, is in which."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


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
