from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vla.errors import StoreError
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore
from vla_datasets.windows import load_frames

ARRAYS = ("image_scene", "image_wrist", "numbers")


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT)
    store.append(make_episode(SMALL_EMBODIMENT, 40, 0, lookahead=4))
    return store


def _folder(store: EpisodeStore) -> Path:
    return store.path / "episodes" / store.keys()[0]


def _shard(store: EpisodeStore, array: str) -> Path:
    (shard,) = (_folder(store) / array).glob("c.*")
    return shard


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def _blank(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


DAMAGE = {
    "is missing": Path.unlink,
    "has": _truncate,
    "is altered": _flip,
    r"has \d+ bytes": _extend,
    "altered": _blank,
}


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize(("told", "damage"), DAMAGE.items())
def test_a_damaged_chunk_is_named_and_never_read_as_zeros(
    store: EpisodeStore, array: str, told: str, damage: Callable[[Path], None]
) -> None:
    shard = _shard(store, array)
    damage(shard)
    with pytest.raises(StoreError, match=rf"{shard.parent.name}/{shard.name}.*{told}"):
        store.read(store.keys()[0])


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("damage", DAMAGE.values())
def test_damaged_array_metadata_is_named(store: EpisodeStore, array: str, damage: Callable[[Path], None]) -> None:
    damage(_folder(store) / array / "zarr.json")
    with pytest.raises(StoreError, match=f"{array}/zarr.json"):
        store.read(store.keys()[0])


@pytest.mark.parametrize("damage", DAMAGE.values())
def test_a_damaged_manifest_is_named(store: EpisodeStore, damage: Callable[[Path], None]) -> None:
    manifest = _folder(store) / "zarr.json"
    damage(manifest)
    with pytest.raises(StoreError, match=f"{manifest} is (missing|altered)"):
        EpisodeStore.open(store.path).index()


@pytest.mark.parametrize(("name", "value"), [("success", False), ("seed", 7), ("instruction", "push"), ("files", {})])
def test_an_edited_manifest_is_refused(store: EpisodeStore, name: str, value: object) -> None:
    file = _folder(store) / "zarr.json"
    tree = json.loads(file.read_text())
    tree["attributes"]["manifest"][name] = value
    file.write_text(json.dumps(tree))
    with pytest.raises(StoreError, match="the manifest's SHA-256 is not the one beside it"):
        EpisodeStore.open(store.path).index()


def test_a_manifest_of_a_later_version_is_refused(store: EpisodeStore) -> None:
    from vla_datasets.episode_files import seal

    file = _folder(store) / "zarr.json"
    tree = json.loads(file.read_text())
    tree["attributes"] = seal(tree["attributes"]["manifest"] | {"version": 99})
    file.write_text(json.dumps(tree))
    with pytest.raises(StoreError, match="is written as vla-episode 99, this release reads vla-episode 2"):
        EpisodeStore.open(store.path).index()


def test_a_manifest_that_names_a_file_outside_is_refused(store: EpisodeStore) -> None:
    from vla_datasets.episode_files import seal

    file = _folder(store) / "zarr.json"
    tree = json.loads(file.read_text())
    files = {"../../../zarr.json": {"bytes": 1, "sha256": ""}}
    tree["attributes"] = seal(tree["attributes"]["manifest"] | {"files": files})
    file.write_text(json.dumps(tree))
    opened = EpisodeStore.open(store.path)
    with pytest.raises(StoreError, match="names a file outside of it"):
        opened.read(opened.keys()[0])


def test_a_half_copied_episode_is_refused(store: EpisodeStore) -> None:
    half = store.path / "episodes" / "reach-0000000001-scripted"
    shutil.copytree(_folder(store) / "image_scene", half / "image_scene")
    with pytest.raises(StoreError, match=r"reach-0000000001-scripted/zarr\.json is missing: the episode is not whole"):
        EpisodeStore.open(store.path).index()


def test_an_episode_copied_under_another_name_is_refused(store: EpisodeStore) -> None:
    shutil.copytree(_folder(store), store.path / "episodes" / "reach-0000000001-scripted")
    with pytest.raises(StoreError, match="belongs to another episode: reach, seed 0"):
        EpisodeStore.open(store.path).index()


def test_an_episode_of_another_store_is_refused(store: EpisodeStore, tmp_path: Path) -> None:
    import dataclasses

    other = dataclasses.replace(SMALL_EMBODIMENT, control_hz=20.0)
    stranger = EpisodeStore.create(tmp_path / "other", other)
    key = stranger.append(make_episode(other, 3, 1))
    shutil.copytree(stranger.path / "episodes" / key, store.path / "episodes" / key)
    with pytest.raises(StoreError, match=r"is of embodiment .* not of its store's"):
        EpisodeStore.open(store.path).index()


def test_loading_all_frames_meets_the_same_checks(store: EpisodeStore) -> None:
    _flip(_shard(store, "image_scene"))
    with pytest.raises(StoreError, match="is altered"):
        load_frames([store], 4)


@pytest.mark.parametrize("damage", [_truncate, _blank])
def test_a_damaged_head_is_named(store: EpisodeStore, damage: Callable[[Path], None]) -> None:
    damage(store.path / "zarr.json")
    with pytest.raises(StoreError, match=r"zarr\.json is altered: it is not the head of an episode store"):
        EpisodeStore.open(store.path)


def test_an_edited_embodiment_is_refused(store: EpisodeStore) -> None:
    file = store.path / "zarr.json"
    file.write_text(file.read_text().replace('"control_hz": 10.0', '"control_hz": 20.0'))
    with pytest.raises(StoreError, match="its embodiment does not have the fingerprint beside it"):
        EpisodeStore.open(store.path)
