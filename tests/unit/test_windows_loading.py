from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from vla.errors import EmbodimentMismatch, StoreError
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore
from vla_datasets.windows import load_frames


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT)
    for seed in range(3):
        store.append(make_episode(SMALL_EMBODIMENT, 4 + seed, seed, lookahead=5, task="reach" if seed else "push"))
    return store


def test_the_lookahead_label_is_what_to_imitate(store: EpisodeStore) -> None:
    frames = load_frames([store], 3)
    labels = np.concatenate([store.read(key).labels["lookahead"] for key in store])
    np.testing.assert_array_equal(frames.chunks, labels[:, :3])
    assert not frames.chunk_padding.any()


def test_target_and_destination_come_along(store: EpisodeStore) -> None:
    frames = load_frames([store], 3)
    np.testing.assert_array_equal(frames.target, np.concatenate([store.read(k).labels["target"] for k in store]))
    assert np.isnan(frames.destination).all()


def test_episodes_without_points_have_none(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path / "plain", SMALL_EMBODIMENT)
    store.append(make_episode(SMALL_EMBODIMENT, 4, 0))
    assert np.isnan(load_frames([store], 2).target).all()


def test_labels_that_are_too_short_for_the_horizon_are_refused(store: EpisodeStore) -> None:
    with pytest.raises(StoreError, match="label 'lookahead' holds 5 actions a step, a chunk needs 6"):
        load_frames([store], 6)


def test_several_stores_are_joined_in_order(store: EpisodeStore, tmp_path: Path) -> None:
    other = EpisodeStore.create(tmp_path / "other", SMALL_EMBODIMENT)
    other.append(make_episode(SMALL_EMBODIMENT, 2, 9))
    frames = load_frames([other, store], 3)
    assert [row.seed for row in frames.episodes] == [9, 0, 1, 2]
    assert len(frames) == 2 + 4 + 5 + 6


def test_stores_of_different_embodiments_are_refused(store: EpisodeStore, tmp_path: Path) -> None:
    other = dataclasses.replace(SMALL_EMBODIMENT, frame="world")
    stranger = EpisodeStore.create(tmp_path / "other", other)
    stranger.append(make_episode(other, 2, 9))
    with pytest.raises(EmbodimentMismatch, match=r"store .*other is for another embodiment than store .*store: frame"):
        load_frames([store, stranger], 3)


def test_only_the_episodes_asked_for_are_loaded(store: EpisodeStore) -> None:
    frames = load_frames([store], 3, keep=lambda row: row.task == "reach")
    assert {row.task for row in frames.episodes} == {"reach"}
    assert len(frames) == 5 + 6


def test_loading_nothing_is_an_error(store: EpisodeStore) -> None:
    with pytest.raises(StoreError, match=r"there are no episodes to load in: .*store"):
        load_frames([store], 3, keep=lambda row: False)


def test_statistics_leave_padding_out(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path / "plain", SMALL_EMBODIMENT)
    episode = make_episode(SMALL_EMBODIMENT, 4, 0)
    store.append(episode)
    statistics = load_frames([store], 3).statistics()
    assert statistics["actions"].count == 3 + 3 + 2 + 1
    assert statistics["actions"].names == tuple(field.name for field in SMALL_EMBODIMENT.action)
    np.testing.assert_allclose(statistics["proprioception"].mean, episode.proprioception.mean(0, np.float64))
