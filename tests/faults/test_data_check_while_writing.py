from __future__ import annotations

import threading
from pathlib import Path

import pytest

from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.checking import check

EPISODES = 30


def test_a_store_that_is_written_to_is_checked_without_a_false_alarm(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT)

    def write() -> None:
        for seed in range(EPISODES):
            store.append(make_episode(SMALL_EMBODIMENT, 4, seed))

    writer = threading.Thread(target=write)
    writer.start()
    reports = [check(store.path)]
    while writer.is_alive():
        reports.append(check(store.path))
    writer.join()
    assert [report.errors for report in reports if report.errors] == []
    counts = [report.num_episodes for report in reports]
    assert counts == sorted(counts)
    assert check(store.path).num_episodes == EPISODES


@pytest.mark.parametrize("damage", ["lost", "altered"])
def test_a_store_behind_an_address_is_checked_too(tmp_path: Path, damage: str) -> None:
    pytest.importorskip("obstore")
    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT)
    key = store.append(make_episode(SMALL_EMBODIMENT, 4, 0))
    address = f"file://{store.path}"
    assert check(address).findings == ()
    shard = next((store.path / "episodes" / key / "image_scene").glob("c*"))
    shard.unlink() if damage == "lost" else shard.write_bytes(bytes(shard.stat().st_size))
    (finding,) = check(address).errors
    assert f"{key}/image_scene/" in finding.message
