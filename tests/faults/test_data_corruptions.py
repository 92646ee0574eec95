"""Damage at random: a few hundred here; `python -m benchmarks corruption` does ten thousand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.corruption import DAMAGE, corrupt
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.image_codecs import ImageCodec
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.checking import check


@pytest.mark.parametrize("codec", ImageCodec)
def test_every_damaged_file_is_found_and_none_is_read_wrongly(tmp_path: Path, codec: ImageCodec) -> None:
    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT, image_codec=codec)
    for seed in range(2):
        store.append(make_episode(SMALL_EMBODIMENT, 6, seed, lookahead=2, instruction="au carré"))
    tally = corrupt(store, 120, seed=0)
    assert set(tally.made) == set(DAMAGE)
    assert tally.found == tally.made
    assert tally.wrong.total() == 0
    assert check(store.path).errors == []


@pytest.mark.parametrize("kind", DAMAGE)
def test_every_kind_of_damage_changes_a_file(tmp_path: Path, kind: str) -> None:
    generator, file = np.random.default_rng(0), tmp_path / "file"
    for size in (1, 2, 100, 5000):
        for content in (generator.bytes(size), b"\1" * size):
            file.write_bytes(content)
            if kind != "bits flipped" or size > 2:
                DAMAGE[kind](file, content, generator)
                assert not file.exists() or file.read_bytes() != content


def test_any_bit_of_a_manifest_counts(tmp_path: Path) -> None:
    from vla_datasets.upkeep.store_contents import faults

    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT)
    key = store.append(make_episode(SMALL_EMBODIMENT, 2, 0, instruction="é"))
    file = store.path / "episodes" / key / "zarr.json"
    content = file.read_bytes()
    unnoticed = []
    for bit in range(0, 8 * len(content), 29):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << (bit % 8)
        file.write_bytes(damaged)
        if not faults(EpisodeStore.open(store.path), key):
            unnoticed.append(bit)
    assert unnoticed == []
