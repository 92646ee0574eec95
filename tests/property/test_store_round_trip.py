from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla.interfaces import Episode
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore, episode_id

DTYPES = st.sampled_from([np.float32, np.float64, np.int32, np.uint8, np.bool_])


WORDS = st.text(st.characters(codec="utf-8"), max_size=80)


@st.composite
def drawn_labels(draw: st.DrawFn) -> tuple[int, dict[str, np.ndarray]]:
    """A number of steps, and labels of as many rows."""
    steps = draw(st.integers(1, 70))
    shapes = st.tuples(st.just(steps)) | st.tuples(st.just(steps), st.integers(0, 3), st.integers(1, 2))
    arrays = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, shapes))
    return steps, draw(st.dictionaries(st.text(max_size=6), arrays, max_size=3))


def assert_same_episode(a: Episode, b: Episode) -> None:
    for name in ("embodiment", "instruction", "task", "success", "seed", "source", "licence"):
        assert getattr(a, name) == getattr(b, name)
    arrays = [{**e.images, "p": e.proprioception, "a": e.actions, "t": e.times_s} for e in (a, b)]
    for left, right in ((arrays[0], arrays[1]), (a.labels, b.labels)):
        assert left.keys() == right.keys()
        for name in left:
            assert left[name].dtype == right[name].dtype
            np.testing.assert_array_equal(left[name], right[name])


@given(drawn_labels(), st.integers(0, 2**40), WORDS, WORDS, WORDS, st.booleans())
@settings(max_examples=40)
def test_an_episode_comes_back_bit_for_bit(
    labelled: tuple[int, dict[str, np.ndarray]], seed: int, task: str, source: str, instruction: str, success: bool
) -> None:
    steps, labels = labelled
    made = make_episode(
        SMALL_EMBODIMENT, steps, seed, task=task, source=source, instruction=instruction, success=success
    )
    episode = dataclasses.replace(made, labels=labels)
    with tempfile.TemporaryDirectory() as folder:
        store = EpisodeStore.create(Path(folder) / "store", SMALL_EMBODIMENT)
        key = store.append(episode)
        opened = EpisodeStore.open(store.path, SMALL_EMBODIMENT)
        assert_same_episode(opened.read(key), episode)
        assert opened.contains(task, seed, source)


@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 2**60))
def test_an_id_is_a_plain_file_name(task: str, source: str, seed: int) -> None:
    name = episode_id(task, seed, source)
    assert name == Path(name).name
    assert name.isascii()
    assert len(name) < 200
    assert not name.startswith(".")


@given(st.tuples(st.text(), st.integers(0, 99), st.text()), st.tuples(st.text(), st.integers(0, 99), st.text()))
def test_different_episodes_have_different_ids(a: tuple[str, int, str], b: tuple[str, int, str]) -> None:
    assert (episode_id(*a).lower() == episode_id(*b).lower()) == (a == b)


@given(st.permutations([("push", 2), ("push", 10), ("reach", 1), ("reach", 3)]))
@settings(max_examples=10)
def test_the_order_of_episodes_does_not_depend_on_the_order_of_writing(order: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = EpisodeStore.create(Path(folder) / "store", SMALL_EMBODIMENT)
        for task, seed in order:
            store.append(make_episode(SMALL_EMBODIMENT, 2, seed, task=task))
        rows = [(row.task, row.seed) for row in EpisodeStore.open(store.path).index()]
        assert rows == [("push", 2), ("push", 10), ("reach", 1), ("reach", 3)]


@pytest.mark.parametrize("steps", [1, 31, 32, 33, 100])
def test_any_zarr_reader_sees_plain_sharded_arrays(tmp_path: Path, steps: int) -> None:
    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT, {"horizon": 4})
    episode = make_episode(SMALL_EMBODIMENT, steps, 0)
    key = store.append(episode)
    root = zarr.open_group(store.path, mode="r")
    group = root[f"episodes/{key}"]
    assert isinstance(group, zarr.Group)
    arrays = dict(group.arrays())
    assert sorted(arrays) == ["image_scene", "image_wrist", "numbers"]
    np.testing.assert_array_equal(arrays["image_scene"][...], episode.images["scene"])
    assert all(array.shards is not None and array.metadata.zarr_format == 3 for array in arrays.values())
    assert root.attrs["metadata"] == {"horizon": 4}


def test_black_images_are_written_like_any_other(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT)
    episode = make_episode(SMALL_EMBODIMENT, 3, 0)
    for images in episode.images.values():
        images[:] = 0
    key = store.append(episode)
    assert len(list((store.path / "episodes" / key / "image_scene").iterdir())) == 2
    assert not store.read(key).images["scene"].any()
