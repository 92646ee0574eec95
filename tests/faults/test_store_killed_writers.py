from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vla.errors import StoreError
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore

# Appends episode 1, and is killed at the `at`-th call of os.`call`: before it, or after.
_KILLED_WRITER = """
import itertools, os, signal, sys
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore

path, call, at, when = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
store = EpisodeStore.open(path)
original, calls = getattr(os, call), itertools.count(1)

def deadly(*arguments):
    number = next(calls)  # files are synced by many threads
    if when == "after":
        original(*arguments)
    if number == at:
        os.kill(os.getpid(), signal.SIGKILL)
    if when == "before":
        original(*arguments)

setattr(os, call, deadly)
store.append(make_episode(SMALL_EMBODIMENT, 5, 1))
"""

# Appends episodes `first` to `last`, and prints how many it was first with.
_WRITER = """
import sys
from vla.errors import StoreError
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore

store, own = EpisodeStore.open_or_create(sys.argv[1], SMALL_EMBODIMENT), 0
for seed in range(int(sys.argv[2]), int(sys.argv[3])):
    try:
        store.append(make_episode(SMALL_EMBODIMENT, 5, seed))
        own += 1
    except StoreError:
        assert store.contains("reach", seed, "scripted")
print(own)
"""


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT)
    store.append(make_episode(SMALL_EMBODIMENT, 5, 0))
    return store


def _kill(store: EpisodeStore, call: str, at: int, when: str) -> None:
    arguments = [str(store.path), call, str(at), when]
    killed = subprocess.run([sys.executable, "-c", _KILLED_WRITER, *arguments], capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()


@pytest.mark.parametrize(
    ("call", "at", "when"),
    [("fsync", 1, "before"), ("fsync", 4, "before"), ("fsync", 7, "after"), ("rename", 1, "before")],
)
def test_a_writer_killed_before_its_commit_leaves_no_episode(
    store: EpisodeStore, call: str, at: int, when: str
) -> None:
    before = store.keys()
    _kill(store, call, at, when)
    opened = EpisodeStore.open(store.path, SMALL_EMBODIMENT)
    assert opened.keys() == before
    assert opened.read(before[0]).num_steps == 5
    key = opened.append(make_episode(SMALL_EMBODIMENT, 5, 1))
    assert opened.keys() == [*before, key]
    assert opened.clean_staging() == 1
    assert not list(opened.path.glob(".staging-*"))
    assert len(opened) == 2


def test_a_writer_killed_after_its_commit_leaves_a_whole_episode(store: EpisodeStore) -> None:
    _kill(store, "rename", 1, "after")
    opened = EpisodeStore.open(store.path)
    expected = make_episode(SMALL_EMBODIMENT, 5, 1)
    np.testing.assert_array_equal(opened.read(opened.keys()[1]).actions, expected.actions)
    assert opened.clean_staging() == 0


def test_two_writers_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    path = tmp_path / "store"
    ranges = [(0, 20), (10, 30)]
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(path), str(a), str(b)], stdout=subprocess.PIPE, text=True)
        for a, b in ranges
    ]
    own = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    store = EpisodeStore.open(path, SMALL_EMBODIMENT)
    assert sum(own) == 30
    assert [row.seed for row in store.index()] == list(range(30))
    for key in store:
        row = store.read(key)
        np.testing.assert_array_equal(row.actions, make_episode(SMALL_EMBODIMENT, 5, row.seed).actions)
    assert store.clean_staging() == 0


def test_a_cleaner_leaves_live_writers_alone(store: EpisodeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, seen = os.rename, []

    def rename_while_a_cleaner_is_at_work(source: Path, destination: Path) -> None:
        seen.extend(EpisodeStore.open(store.path).uncommitted())
        assert store.clean_staging() == 0
        rename(source, destination)

    monkeypatch.setattr(os, "rename", rename_while_a_cleaner_is_at_work)
    store.append(make_episode(SMALL_EMBODIMENT, 5, 1))
    assert [being_written.is_live for being_written in seen] == [True]
    assert len(store) == 2


def test_a_failed_write_leaves_nothing(store: EpisodeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.append(make_episode(SMALL_EMBODIMENT, 5, 1))
    assert [entry.name for entry in store.path.iterdir() if entry.name.startswith(".")] == []
    assert len(store) == 1


def test_an_interrupted_write_leaves_nothing(store: EpisodeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(source: Path, destination: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.append(make_episode(SMALL_EMBODIMENT, 5, 1))
    assert not list(store.path.glob(".staging-*"))
    assert len(store) == 1


def test_a_store_whose_making_was_killed_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(source: Path, destination: Path) -> None:
        raise OSError(5, "killed")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", killed)
        with pytest.raises(OSError, match="killed"):
            EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT)
    with pytest.raises(StoreError, match="there is no episode store at"):
        EpisodeStore.open(tmp_path / "store")
    assert len(EpisodeStore.open_or_create(tmp_path / "store", SMALL_EMBODIMENT)) == 0
