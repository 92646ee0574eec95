"""A recorder that is killed loses at most the episode it was in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.kills import kill_recorders
from vla.errors import ObservationError, StoreError
from vla.interfaces import Observation
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.recording import EpisodeHead, EpisodeWriter
from vla_datasets.store import EpisodeStore

HEAD = EpisodeHead("reach", 7, "teleoperation", "reach the cube", "CC0-1.0")


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    return EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT)


def observation(step: int) -> Observation:
    episode = make_episode(SMALL_EMBODIMENT, step + 1, 0)
    images = {name: frames[step] for name, frames in episode.images.items()}
    return Observation(images, episode.proprioception[step], "", 0.1 * step, frozenset())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_committed_episodes_are_whole_however_the_recorder_dies(tmp_path: Path) -> None:
    result = kill_recorders(tmp_path / "store", kills=12, seed=1)
    assert (result["lost"], result["unreported"]) == (0, 0)
    assert result["most_open"] in (0, 1)


def test_an_open_episode_is_reported_and_not_in_the_store(store: EpisodeStore) -> None:
    writer = EpisodeWriter(store, HEAD)
    writer.add(observation(0), make_episode(SMALL_EMBODIMENT, 1, 0).actions[0])
    (open_episode,) = store.uncommitted()
    assert open_episode.is_live
    assert (open_episode.about["task"], open_episode.about["seed"]) == ("reach", 7)
    assert len(store) == 0
    writer.close()
    assert store.uncommitted() == []


def test_an_episode_that_dies_in_its_commit_is_still_told_by_name(
    store: EpisodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def rename(source: Path, destination: Path) -> None:
        seen.extend(store.uncommitted())
        raise OSError(5, "the disk is gone")

    writer = EpisodeWriter(store, HEAD)
    writer.add(observation(0), make_episode(SMALL_EMBODIMENT, 1, 0).actions[0])
    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="the disk is gone"):
        writer.commit(success=True)
    assert [(half.about.get("task"), half.about.get("seed")) for half in seen] == [("reach", 7)]


def test_an_episode_without_steps_is_refused(store: EpisodeStore) -> None:
    writer = EpisodeWriter(store, HEAD)
    with pytest.raises(StoreError, match="an episode has at least one step"):
        writer.commit(success=False)
    writer.close()


def test_a_bad_step_leaves_the_steps_before_it(store: EpisodeStore) -> None:
    writer = EpisodeWriter(store, HEAD)
    action = make_episode(SMALL_EMBODIMENT, 1, 0).actions[0]
    writer.add(observation(0), action)
    with pytest.raises(ObservationError, match="lacks camera"):
        writer.add(Observation({}, observation(1).proprioception, "", 0.1, frozenset()), action)
    assert store.read(writer.commit(success=True)).num_steps == 1
    writer.close()


def test_labels_have_the_same_names_in_every_step(store: EpisodeStore) -> None:
    writer = EpisodeWriter(store, HEAD)
    action = make_episode(SMALL_EMBODIMENT, 1, 0).actions[0]
    writer.add(observation(0), action)
    with pytest.raises(StoreError, match=r"step 1 has labels \['intervened'\], the first has \[\]"):
        writer.add(observation(1), action, {"intervened": action[:1]})
    writer.close()


def test_the_same_episode_is_not_recorded_twice(store: EpisodeStore) -> None:
    writer = EpisodeWriter(store, HEAD)
    writer.add(observation(0), make_episode(SMALL_EMBODIMENT, 1, 0).actions[0])
    writer.commit(success=True)
    writer.close()
    with pytest.raises(StoreError, match="has an episode of 'reach', seed 7, source 'teleoperation' already"):
        EpisodeWriter(store, HEAD)
