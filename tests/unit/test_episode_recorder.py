"""The recorder of the control loop: nothing waits, nothing is lost unsaid."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from vla.errors import ObservationError, StoreError
from vla.interfaces import Observation
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.recording import EpisodeHead, EpisodeWriter
from vla_datasets.store import EpisodeStore
from vla_robot_io.episode_recorder import EpisodeRecorder

HEAD = EpisodeHead("reach", 0, "teleoperation", "reach the cube", "CC0-1.0")
EPISODE = make_episode(SMALL_EMBODIMENT, 12, 0)


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    return EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT)


def seen(step: int) -> Observation:
    images = {name: frames[step] for name, frames in EPISODE.images.items()}
    return Observation(images, EPISODE.proprioception[step], "", float(EPISODE.times_s[step]), frozenset())


def test_every_step_that_was_taken_is_in_the_store(store: EpisodeStore) -> None:
    recorder = EpisodeRecorder(EpisodeWriter(store, HEAD), max_waiting=64)
    assert all(recorder.offer(seen(step), EPISODE.actions[step]) for step in range(12))
    recorded = recorder.finish(success=True)
    assert (recorded.num_steps, recorded.dropped) == (12, 0)
    assert recorded.episode is not None
    read = store.read(recorded.episode)
    np.testing.assert_array_equal(read.images["scene"], EPISODE.images["scene"])
    np.testing.assert_array_equal(read.labels["dropped"], np.zeros(12, np.int32))


def test_a_full_queue_drops_counts_and_marks(store: EpisodeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add, gate, stuck = EpisodeWriter.add, threading.Event(), threading.Event()

    def add_when_the_disk_is_back(writer: EpisodeWriter, *step: object) -> None:
        stuck.set()
        gate.wait(10.0)
        add(writer, *step)  # type: ignore[arg-type]

    monkeypatch.setattr(EpisodeWriter, "add", add_when_the_disk_is_back)
    recorder = EpisodeRecorder(EpisodeWriter(store, HEAD), max_waiting=2)
    assert recorder.offer(seen(0), EPISODE.actions[0])
    assert stuck.wait(10.0)
    begin = time.monotonic()
    taken = [recorder.offer(seen(step), EPISODE.actions[step]) for step in range(1, 8)]
    assert time.monotonic() - begin < 1.0  # the disk stands still for ten
    assert taken == [True, True, False, False, False, False, False]
    gate.set()
    while not recorder.offer(seen(8), EPISODE.actions[8]):
        gate.wait(0.01)
    recorded = recorder.finish(success=True)
    assert recorded.dropped >= 5
    assert recorded.episode is not None
    assert store.read(recorded.episode).labels["dropped"].tolist() == [0, 0, 0, recorded.dropped]


def test_a_discarded_episode_leaves_nothing(store: EpisodeStore) -> None:
    recorder = EpisodeRecorder(EpisodeWriter(store, HEAD))
    recorder.offer(seen(0), EPISODE.actions[0])
    assert recorder.finish(success=None).episode is None
    assert (len(store), store.uncommitted()) == (0, [])


def test_what_cannot_be_written_is_told_at_the_end_and_not_in_the_loop(store: EpisodeStore) -> None:
    recorder = EpisodeRecorder(EpisodeWriter(store, HEAD))
    assert recorder.offer(Observation({}, EPISODE.proprioception[0], "", 0.0, frozenset()), EPISODE.actions[0])
    assert recorder.offer(seen(1), EPISODE.actions[1])
    with pytest.raises(ObservationError, match="lacks camera"):
        recorder.finish(success=True)
    assert (len(store), store.uncommitted()) == (0, [])


def test_a_full_disk_is_told_at_the_end(store: EpisodeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EpisodeWriter, "add", full)
    recorder = EpisodeRecorder(EpisodeWriter(store, HEAD))
    assert recorder.offer(seen(0), EPISODE.actions[0])
    with pytest.raises(StoreError, match="No space left"):
        recorder.finish(success=True)
