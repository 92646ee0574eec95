from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from vla.errors import ActionError, EmbodimentMismatch, ObservationError, StoreError
from vla.interfaces import Episode
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore

OTHER = dataclasses.replace(SMALL_EMBODIMENT, control_hz=20.0)


@pytest.fixture
def store(tmp_path: Path) -> EpisodeStore:
    return EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT, {"shadows": False})


def test_an_absent_store_is_an_error_that_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no episode store at .*nowhere: `vla collect out=.*nowhere` makes"):
        EpisodeStore.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_of_something_else_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="the folder holds something else"):
        EpisodeStore.open_or_create(tmp_path, SMALL_EMBODIMENT)
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_store_is_an_error_for_a_reader(store: EpisodeStore) -> None:
    with pytest.raises(StoreError, match=r"the episode store .* is empty: `vla collect out=.*` fills it"):
        EpisodeStore.open(store.path)


def test_an_empty_store_can_be_appended_to(store: EpisodeStore) -> None:
    opened = EpisodeStore.open_or_create(store.path, SMALL_EMBODIMENT)
    opened.append(make_episode(SMALL_EMBODIMENT, 2, 0))
    assert len(store) == 1


def test_creating_over_a_store_is_refused(store: EpisodeStore) -> None:
    with pytest.raises(StoreError, match="is already there: open it, or choose another folder"):
        EpisodeStore.create(store.path, SMALL_EMBODIMENT)


def test_an_episode_of_another_embodiment_is_refused_field_by_field(store: EpisodeStore) -> None:
    message = r"the episode is for another embodiment than store .*store: control_hz: 10.0 against 20.0"
    with pytest.raises(EmbodimentMismatch, match=message):
        store.append(make_episode(OTHER, 2, 0))
    assert len(store) == 0


def test_a_reader_of_another_embodiment_is_refused(store: EpisodeStore) -> None:
    store.append(make_episode(SMALL_EMBODIMENT, 2, 0))
    with pytest.raises(
        EmbodimentMismatch, match=r"store .*store is for another embodiment than the reader: control_hz"
    ):
        EpisodeStore.open(store.path, OTHER)


def test_a_writer_of_another_embodiment_is_refused(store: EpisodeStore) -> None:
    with pytest.raises(EmbodimentMismatch, match="the writer is for another embodiment than store"):
        EpisodeStore.open_or_create(store.path, OTHER)


def test_other_metadata_is_refused(store: EpisodeStore) -> None:
    with pytest.raises(StoreError, match=r"was made otherwise, choose another folder: shadows: False against True"):
        EpisodeStore.open_or_create(store.path, SMALL_EMBODIMENT, {"shadows": True})


def test_the_same_episode_twice_is_refused(store: EpisodeStore) -> None:
    store.append(make_episode(SMALL_EMBODIMENT, 2, 3))
    with pytest.raises(StoreError, match="has an episode of 'reach', seed 3, source 'scripted' already"):
        store.append(make_episode(SMALL_EMBODIMENT, 2, 3))
    assert len(store) == 1


@pytest.mark.parametrize("key", ["reach-0000000009-scripted", "../episodes/reach-0000000003-scripted", ""])
def test_an_id_that_does_not_exist_is_refused(store: EpisodeStore, key: str) -> None:
    store.append(make_episode(SMALL_EMBODIMENT, 2, 3))
    with pytest.raises(StoreError, match="has no episode"):
        store.read(key)


def _with(episode: Episode, name: str, at: int, value: float) -> Episode:
    values = getattr(episode, name).copy()
    values[at] = value
    return dataclasses.replace(episode, **{name: values})


@pytest.mark.parametrize(
    ("name", "error"), [("actions", ActionError), ("proprioception", ObservationError), ("times_s", ObservationError)]
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused(
    store: EpisodeStore, name: str, error: type[Exception], value: float
) -> None:
    with pytest.raises(error, match=f"the episode's {name} is not finite at step 1"):
        store.append(_with(make_episode(SMALL_EMBODIMENT, 3, 0), name, 1, value))
    assert len(store) == 0


def test_a_missing_camera_is_refused(store: EpisodeStore) -> None:
    episode = make_episode(SMALL_EMBODIMENT, 3, 0)
    images = {"scene": episode.images["scene"]}
    with pytest.raises(ObservationError, match=r"small has cameras \['scene', 'wrist'\], the episode \['scene'\]"):
        store.append(dataclasses.replace(episode, images=images))


def test_images_of_another_size_are_refused(store: EpisodeStore) -> None:
    episode = make_episode(SMALL_EMBODIMENT, 3, 0)
    images = {**episode.images, "wrist": episode.images["scene"]}
    with pytest.raises(
        ObservationError, match=r"camera 'wrist' should be uint8 \(3, 8, 12, 3\), got uint8 \(3, 16, 24"
    ):
        store.append(dataclasses.replace(episode, images=images))


def test_an_episode_without_steps_is_refused(store: EpisodeStore) -> None:
    with pytest.raises(StoreError, match="an episode has at least one step"):
        store.append(make_episode(SMALL_EMBODIMENT, 0, 0))


def test_a_label_of_another_length_is_refused(store: EpisodeStore) -> None:
    episode = dataclasses.replace(make_episode(SMALL_EMBODIMENT, 3, 0), labels={"phase": np.zeros(2)})
    with pytest.raises(StoreError, match=r"label 'phase' should have 3 rows, one a step, got shape \(2,\)"):
        store.append(episode)


@pytest.mark.parametrize("values", [np.array(["a", "b", "c"]), np.full(3, 2**53 + 1), np.zeros(3, np.complex64)])
def test_a_label_that_would_change_is_refused(store: EpisodeStore, values: np.ndarray) -> None:
    episode = dataclasses.replace(make_episode(SMALL_EMBODIMENT, 3, 0), labels={"phase": values})
    with pytest.raises(StoreError, match=r"label 'phase' of type .* has values that float64 cannot hold"):
        store.append(episode)
