"""Every storage keeps the promises of `Storage`, and a store is the same on each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vla.errors import ConfigError, StoreError
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.recording import EpisodeHead, EpisodeWriter
from vla_datasets.storage import LocalStorage, ObjectStorage, Storage, storage_at
from vla_datasets.store import EpisodeStore

FILES = {"zarr.json": b"manifest", "numbers/c.0.0": b"0123456789"}


def _in_memory(path: Path) -> Storage:
    from obstore.store import MemoryStore

    return ObjectStorage("memory:///", MemoryStore())


def _bucket_on_disk(path: Path) -> Storage:
    from obstore.store import LocalStore

    path.mkdir()
    return ObjectStorage(f"file://{path}", LocalStore(str(path)))


@pytest.fixture(params=[LocalStorage, _in_memory, _bucket_on_disk])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    make: Callable[[Path], Storage] = request.param
    return make(tmp_path / "store")


@pytest.fixture
def made(storage: Storage) -> Storage:
    storage.create({"zarr.json": b"head", "episodes/zarr.json": b"group"})
    return storage


def test_a_store_is_made_once(storage: Storage) -> None:
    storage.create({"zarr.json": b"head", "episodes/zarr.json": b"group"})
    assert storage.exists()
    assert storage.read("zarr.json") == b"head"
    assert storage.episodes() == []
    with pytest.raises(FileExistsError):
        storage.create({"zarr.json": b"another"})


def test_an_episode_is_there_after_its_commit(made: Storage) -> None:
    assert not made.contains("a")
    made.commit("a", FILES)
    assert made.contains("a")
    assert made.episodes() == ["a"]
    assert made.read("episodes/a/numbers/c.0.0") == b"0123456789"
    assert made.read_range("episodes/a/numbers/c.0.0", 3, 4) == b"3456"
    assert made.size("episodes/a/numbers/c.0.0") == 10
    assert made.uncommitted() == []


def test_the_first_of_two_writers_wins(made: Storage) -> None:
    made.commit("a", FILES)
    with pytest.raises(FileExistsError):
        made.commit("a", dict.fromkeys(FILES, b"other"))
    assert made.read("episodes/a/zarr.json") == b"manifest"


def test_what_is_not_there_is_not_found(made: Storage) -> None:
    with pytest.raises(FileNotFoundError):
        made.read("nothing")
    with pytest.raises(FileNotFoundError):
        made.size("nothing")


def test_a_staged_episode_appears_at_its_commit(made: Storage) -> None:
    staging = made.stage()
    (staging.path / "zarr.json").write_bytes(b"manifest")
    assert made.episodes() == []
    staging.commit("a")
    staging.close()
    assert made.episodes() == ["a"]


def test_a_staged_episode_that_is_closed_leaves_nothing(made: Storage) -> None:
    staging = made.stage()
    (staging.path / "zarr.json").write_bytes(b"manifest")
    staging.close()
    assert (made.episodes(), made.uncommitted(), staging.path.exists()) == ([], [], False)


def test_a_store_is_the_same_wherever_it_lies(storage: Storage) -> None:
    store = EpisodeStore.create(storage, SMALL_EMBODIMENT, {"horizon": 4})
    episode = make_episode(SMALL_EMBODIMENT, 7, 3, lookahead=2)
    key = store.append(episode)
    opened = EpisodeStore.open(storage, SMALL_EMBODIMENT)
    assert opened.keys() == [key]
    assert opened.metadata == {"horizon": 4}
    np.testing.assert_array_equal(opened.read(key).images["scene"], episode.images["scene"])
    np.testing.assert_array_equal(opened.frame(key, "wrist", 6), episode.images["wrist"][6])
    np.testing.assert_array_equal(opened.numbers(key)["labels.lookahead"], episode.labels["lookahead"])
    with pytest.raises(StoreError, match="has an episode of 'reach', seed 3, source 'scripted' already"):
        opened.append(episode)


def test_an_episode_can_be_written_as_it_happens(storage: Storage) -> None:
    from vla.interfaces import Observation

    store = EpisodeStore.create(storage, SMALL_EMBODIMENT)
    episode = make_episode(SMALL_EMBODIMENT, 5, 0)
    head = EpisodeHead("reach", 0, "teleoperation", "reach the cube", "CC0-1.0")
    writer = EpisodeWriter(store, head)
    for step in range(5):
        images = {name: frames[step] for name, frames in episode.images.items()}
        seen = Observation(images, episode.proprioception[step], "", float(episode.times_s[step]), frozenset())
        writer.add(seen, episode.actions[step])
    key = writer.commit(success=True)
    writer.close()
    back = EpisodeStore.open(storage).read(key)
    np.testing.assert_array_equal(back.images["wrist"], episode.images["wrist"])
    np.testing.assert_array_equal(back.actions, episode.actions)
    assert (back.task, back.source, back.instruction, back.success) == (
        "reach",
        "teleoperation",
        "reach the cube",
        True,
    )


def test_a_claim_without_a_manifest_is_reported_and_cleaned() -> None:
    storage = _in_memory(Path())
    assert isinstance(storage, ObjectStorage)
    storage.create({"zarr.json": b"head"})
    storage._store.put("claims/a", b"{}")
    storage._store.put("episodes/a/numbers/c.0.0", b"half")
    assert [half.name for half in storage.uncommitted()] == ["a"]
    assert storage.episodes() == []
    assert storage.clean() == 1
    assert storage.uncommitted() == []
    storage.commit("a", FILES)


def test_an_address_chooses_the_storage(tmp_path: Path) -> None:
    assert isinstance(storage_at(tmp_path), LocalStorage)
    assert isinstance(storage_at("memory:///store"), ObjectStorage)
    with pytest.raises(StoreError, match="nowhere://x cannot be opened"):
        storage_at("nowhere://x")


def test_a_store_in_a_bucket_has_no_path(tmp_path: Path) -> None:
    store = EpisodeStore.create(_in_memory(tmp_path), SMALL_EMBODIMENT)
    with pytest.raises(StoreError, match="not a folder of this machine"):
        _ = store.path


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ConfigError, match=r"vla-stack\[cloud\]"):
        storage_at("s3://bucket/store")
