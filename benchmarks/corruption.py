"""Damage done at random to files of committed episodes: ten thousand times, is every one found?

    episode ─► one file: cut, bits flipped, overwritten, blanked, lengthened, lost ─► check, read ─► put back

`check` has to find all of it. Reading may also give what was stored, bit for bit, where the damage was to bytes around
a manifest that no value depends on; anything else that it gives is counted as wrong.

`python -m benchmarks corruption [data=STORE]`
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla.errors import StoreError
from vla_datasets.image_codecs import ImageCodec
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.checking import check_one
from vla_datasets.upkeep.findings import Severity
from vla_datasets.upkeep.near_duplicates import content_hash
from vla_datasets.upkeep.suspicions import Thresholds
from vla_sim.demonstrations import demonstrate
from vla_sim.embodiments import TABLETOP_PANDA

CORRUPTIONS = 10_000
TASKS = ("reach", "push_to_pad")


@dataclasses.dataclass
class Tally:
    """What became of many corruptions."""

    made: Counter[str] = dataclasses.field(default_factory=Counter)
    """By kind of damage; so are the others."""
    found: Counter[str] = dataclasses.field(default_factory=Counter)
    """By `check`."""
    refused: Counter[str] = dataclasses.field(default_factory=Counter)
    """By `read`."""
    wrong: Counter[str] = dataclasses.field(default_factory=Counter)
    """Read without an error, and not what was stored."""
    files: Counter[str] = dataclasses.field(default_factory=Counter)
    """By kind of file."""

    def merge(self, other: Tally) -> None:
        """Add another's counts."""
        for field in dataclasses.fields(self):
            getattr(self, field.name).update(getattr(other, field.name))


def measurements(store: str | None) -> dict[str, object]:
    """Corrupt copies of a store's episodes, or of stores made here with each image codec; print and give the counts."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vla-corruption-") as folder:
        stores = [_copy(EpisodeStore.open(store), Path(folder))] if store else _made(Path(folder))
        total = Tally()
        for index, each in enumerate(stores):
            share = CORRUPTIONS // len(stores) + (index < CORRUPTIONS % len(stores))
            total.merge(corrupt(each, share, seed=index))
    made, found = total.made.total(), total.found.total()
    for kind in DAMAGE:
        count = total.made[kind]
        print(f"corruption: {kind}: {total.found[kind]} of {count} found, {total.refused[kind]} refused by read")
    print(f"corruption: {found} of {made} found; read gave wrong data {total.wrong.total()} times")
    tally = {field.name: dict(getattr(total, field.name)) for field in dataclasses.fields(total)}
    return {
        "corruptions": made,
        "found": found,
        "read_wrong": total.wrong.total(),
        "seconds": time.monotonic() - begin,
        "image_codecs": [each.image_codec.value for each in stores],
        "by_kind": tally,
    }


def corrupt(store: EpisodeStore, times: int, seed: int) -> Tally:
    """Damage one file of one episode, look whether that is noticed, put it back; so many times.

    Args:
        store: on this machine; as it was afterwards.
    """
    tally, generator = Tally(), np.random.default_rng(seed)
    keys = store.keys()
    stored = {key: content_hash(store.read(key)) for key in keys}
    files = {key: sorted(path for path in (store.path / "episodes" / key).rglob("*") if path.is_file()) for key in keys}
    for _ in range(times):
        key = keys[generator.integers(len(keys))]
        file = files[key][generator.integers(len(files[key]))]
        kind = list(DAMAGE)[generator.integers(len(DAMAGE))]
        content = file.read_bytes()
        DAMAGE[kind](file, content, generator)
        try:
            _look(store.path, key, kind, stored[key], tally)
        finally:
            file.write_bytes(content)
        tally.files["/".join(file.relative_to(store.path / "episodes" / key).parts)] += 1
    return tally


def _look(path: Path, key: str, kind: str, stored: str, tally: Tally) -> None:
    store = EpisodeStore.open(path)
    tally.made[kind] += 1
    errors = [x for x in check_one(store, key, thresholds=Thresholds()).findings if x.severity is Severity.ERROR]
    tally.found[kind] += bool(errors)
    try:
        tally.wrong[kind] += content_hash(EpisodeStore.open(path).read(key)) != stored
    except StoreError:
        tally.refused[kind] += 1


# --------------------------------------------------------------------------- damage


def _cut(file: Path, content: bytes, generator: np.random.Generator) -> None:
    file.write_bytes(content[: generator.integers(len(content))])


def _flip_one(file: Path, content: bytes, generator: np.random.Generator) -> None:
    _flip(file, content, generator, 1)


def _flip_some(file: Path, content: bytes, generator: np.random.Generator) -> None:
    _flip(file, content, generator, int(generator.integers(2, 17)))


def _flip(file: Path, content: bytes, generator: np.random.Generator, bits: int) -> None:
    damaged = bytearray(content)
    for bit in generator.choice(8 * len(content), bits, replace=False):
        damaged[bit // 8] ^= 1 << (bit % 8)
    file.write_bytes(damaged)


def _overwrite(file: Path, content: bytes, generator: np.random.Generator) -> None:
    start = int(generator.integers(len(content)))
    span = content[start : start + int(generator.integers(1, 513))]
    noise = generator.bytes(len(span))
    file.write_bytes(content[:start] + (noise if noise != span else _inverted(span)) + content[start + len(span) :])


def _blank(file: Path, content: bytes, generator: np.random.Generator) -> None:
    """Zeros from some byte on that is none, as a disk leaves them that lost power."""
    start = int(generator.choice(np.flatnonzero(np.frombuffer(content, np.uint8))))
    stop = min(len(content), start + int(generator.integers(1, 4097)))
    file.write_bytes(content[:start] + bytes(stop - start) + content[stop:])


def _lengthen(file: Path, content: bytes, generator: np.random.Generator) -> None:
    file.write_bytes(content + generator.bytes(int(generator.integers(1, 65))))


def _lose(file: Path, content: bytes, generator: np.random.Generator) -> None:
    file.unlink()


def _inverted(span: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in span)


DAMAGE: dict[str, Callable[[Path, bytes, np.random.Generator], None]] = {
    "cut": _cut,
    "one bit flipped": _flip_one,
    "bits flipped": _flip_some,
    "overwritten": _overwrite,
    "blanked": _blank,
    "lengthened": _lengthen,
    "lost": _lose,
}


# --------------------------------------------------------------------------- stores


def _made(folder: Path) -> Sequence[EpisodeStore]:
    episodes = [demonstrate(task, seed) for task in TASKS for seed in range(2)]
    # Its é stands as an escape in the manifest, which has more than one spelling.
    episodes[0] = dataclasses.replace(episodes[0], instruction="va à la pièce carrée")
    stores = [EpisodeStore.create(folder / codec.value, TABLETOP_PANDA, image_codec=codec) for codec in ImageCodec]
    for store in stores:
        for episode in episodes:
            store.append(episode)
    return stores


def _copy(store: EpisodeStore, folder: Path) -> EpisodeStore:
    metadata: dict[str, Any] = dict(store.metadata)
    copy = EpisodeStore.create(folder / "store", store.embodiment, metadata, store.image_codec)
    for key in store.keys()[:8]:
        copy.append(store.read(key))
    return copy
