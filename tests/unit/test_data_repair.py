from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vla.commands import main
from vla.errors import StoreError
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.checking import check
from vla_datasets.upkeep.store_contents import move_out

Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT)
    for seed in range(3):
        store.append(make_episode(SMALL_EMBODIMENT, 5, seed))
    return store


@pytest.fixture
def run(store: EpisodeStore, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `vla data repair` on the store: the exit status, and the lines on stdout."""

    def repair_store(*options: str) -> tuple[int, list[str]]:
        status = main(["data", "repair", f"data={store.path}", *options])
        return status, capsys.readouterr().out.splitlines()

    return repair_store


def damage(store: EpisodeStore, index: int) -> str:
    """Shorten a file of an episode; the episode's id."""
    key = store.keys()[index]
    (shard,) = (store.path / "episodes" / key / "image_scene").glob("c*")
    shard.write_bytes(shard.read_bytes()[:-1])
    return key


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_whole_store_needs_nothing(store: EpisodeStore, run: Run) -> None:
    assert run("apply=true") == (0, [f"{store.path}: nothing to repair"])
    assert not store.path.with_name("store.quarantine").exists()


def test_without_apply_nothing_is_touched(store: EpisodeStore, run: Run) -> None:
    key = damage(store, 1)
    before = files(store.path.parent)
    status, lines = run()
    assert status == 1
    assert lines[0].startswith(f"would move episodes/{key}: ")
    assert lines[1].endswith("1 to move to " + f"{store.path}.quarantine: apply=true does it")
    assert files(store.path.parent) == before


def test_a_damaged_episode_is_moved_whole_with_its_reason(store: EpisodeStore, run: Run) -> None:
    key = damage(store, 1)
    content = files(store.path / "episodes" / key)
    status, lines = run("apply=true")
    quarantine = store.path.with_name("store.quarantine")
    assert (status, lines[-1]) == (0, f"1 moved to {quarantine}")
    assert files(quarantine / key) == content
    reason = json.loads((quarantine / f"{key}.reason.json").read_text())
    assert reason["name"] == f"episodes/{key}"
    assert "the manifest promises" in reason["reasons"][0]
    assert check(store.path).findings == ()
    assert len(EpisodeStore.open(store.path).keys()) == 2


def test_what_a_killed_writer_left_and_foreign_files_are_moved(store: EpisodeStore, run: Run) -> None:
    (store.path / ".staging-1-a").mkdir()
    (store.path / ".staging-1-a" / "zarr.json").write_text("half")
    (store.path / "episodes" / "notes.txt").write_text("mine")
    assert run("apply=true")[0] == 0
    quarantine = store.path.with_name("store.quarantine")
    assert (quarantine / ".staging-1-a" / "zarr.json").read_text() == "half"
    assert (quarantine / "notes.txt").read_text() == "mine"
    assert check(store.path).findings == ()


def test_what_a_living_writer_is_at_is_left_alone(store: EpisodeStore, run: Run) -> None:
    staging = store.path / ".staging-1-a"
    staging.mkdir()
    descriptor = os.open(staging, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert run("apply=true") == (0, [f"{store.path}: nothing to repair"])
        assert staging.is_dir()
    finally:
        os.close(descriptor)


def test_an_episode_that_only_looks_wrong_stays(store: EpisodeStore, run: Run) -> None:
    store.append(make_episode(SMALL_EMBODIMENT, 5, 9, instruction=""))
    assert run("apply=true")[1] == [f"{store.path}: nothing to repair"]


def test_a_second_quarantine_of_one_id_keeps_the_first(store: EpisodeStore, run: Run, tmp_path: Path) -> None:
    key = store.keys()[0]
    for _ in range(2):
        damage(store, 0)
        run("apply=true", f"quarantine={tmp_path / 'aside'}")
        store.append(make_episode(SMALL_EMBODIMENT, 5, 0))
    assert sorted(path.name for path in (tmp_path / "aside").iterdir()) == [
        key,
        f"{key}.1",
        f"{key}.1.reason.json",
        f"{key}.reason.json",
    ]


def test_an_altered_head_cannot_be_mended(store: EpisodeStore, run: Run) -> None:
    (store.path / "zarr.json").write_text("{}")
    status, lines = run("apply=true")
    assert status == 1
    assert lines[0].startswith("cannot be mended: ")


@pytest.mark.parametrize("name", ["../elsewhere", "episodes/../../elsewhere", "."])
def test_a_name_outside_of_the_store_is_not_moved(store: EpisodeStore, name: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(StoreError, match="is not inside store"):
        move_out(store, [name], tmp_path / "aside")
    assert (tmp_path / "elsewhere").is_dir()
