from __future__ import annotations

import cv2
import numpy as np
import pytest

from vla.errors import ConfigError, DataError
from vla_datasets.web.near_duplicates import difference_hash, near_duplicates
from vla_datasets.web.pictures import PictureFormat, decode_picture, encode_picture
from vla_datasets.web.samples import WebSample
from vla_datasets.web.splits import split_by_scene


class _Listed:
    """A corpus of these samples."""

    name = "listed"

    def __init__(self, samples: list[WebSample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> WebSample:
        return self._samples[index]


def _sample(number: int, scene: str = "", *images: np.ndarray) -> WebSample:
    return WebSample(images, "what?", "this", "vqa", "CC0-1.0", f"x:{number}", scene)


def _picture(seed: int) -> np.ndarray:
    """Soft blobs of colour, as photographs have."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_the_hash_is_of_rising_brightness_by_rows() -> None:
    rising = np.repeat(np.linspace(0, 255, 90).astype(np.uint8)[None, :, None], 80, axis=0).repeat(3, axis=2)
    assert difference_hash(rising) == (1 << 64) - 1
    assert difference_hash(np.ascontiguousarray(rising[:, ::-1])) == 0


def test_the_same_picture_written_otherwise_is_a_near_duplicate() -> None:
    picture = _picture(0)
    small = np.asarray(cv2.resize(picture, (80, 60), interpolation=cv2.INTER_AREA), np.uint8)
    lossy = decode_picture(encode_picture(picture, PictureFormat.JPEG, 60), "x")
    light = np.clip(picture.astype(np.int16) + 6, 0, 255).astype(np.uint8)
    pictures = [_picture(1), picture, small, _picture(2), lossy, light]
    corpus = _Listed([_sample(i, "", picture) for i, picture in enumerate(pictures)])
    assert near_duplicates(corpus) == [(1, 2, 4, 5)]


def test_one_small_thing_moved_is_another_picture() -> None:
    before, after = np.full((120, 160, 3), 200, np.uint8), np.full((120, 160, 3), 200, np.uint8)
    before[60:72, 40:52] = after[60:72, 90:102] = (200, 30, 30)
    assert near_duplicates(_Listed([_sample(0, "", before), _sample(1, "", after)])) == []


def test_texts_without_pictures_are_no_duplicates() -> None:
    assert near_duplicates(_Listed([_sample(0), _sample(1)])) == []


def test_neither_a_scene_nor_a_near_duplicate_straddles() -> None:
    samples = [_sample(i, f"s{i // 3}", _picture(i // 3 % 20)) for i in range(90)]
    parts = split_by_scene(_Listed(samples), {"train": 0.8, "held_out": 0.2}, seed=3)
    held_out = set(parts["held_out"].indices)
    assert set(parts["train"].indices).isdisjoint(held_out)
    assert len(parts["train"]) + len(held_out) == 90
    # Scene 20 shows what scene 0 shows.
    pictured = [{i // 3 % 20 for i in part.indices} for part in parts.values()]
    assert pictured[0].isdisjoint(pictured[1])
    assert len(held_out) == pytest.approx(18, abs=6)


def test_a_seed_gives_one_split_and_another_seed_another() -> None:
    corpus = _Listed([_sample(i, f"s{i}") for i in range(40)])
    shares = {"train": 0.5, "held_out": 0.5}
    first = split_by_scene(corpus, shares, seed=1)["train"].indices
    assert first == split_by_scene(corpus, shares, seed=1)["train"].indices
    assert first != split_by_scene(corpus, shares, seed=2)["train"].indices


def test_a_part_gives_samples_of_the_whole() -> None:
    corpus = _Listed([_sample(i, f"s{i}") for i in range(10)])
    part = split_by_scene(corpus, {"train": 0.7, "held_out": 0.3})["held_out"]
    assert [part[i].source for i in range(len(part))] == [f"x:{i}" for i in part.indices]
    assert part.name == "listed/held_out"
    with pytest.raises(IndexError, match="listed/held_out has samples 0 to 2"):
        part[3]


@pytest.mark.parametrize("shares", [{}, {"a": 1.0, "b": 0.0}, {"a": 0.5, "b": 0.6}, {"a": 1.5, "b": -0.5}])
def test_shares_that_do_not_sum_to_one_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="shares are positive and sum to 1"):
        split_by_scene(_Listed([_sample(0)]), shares)


def test_one_scene_cannot_be_split() -> None:
    with pytest.raises(DataError, match="too few scenes to split: nothing is left for 'b'"):
        split_by_scene(_Listed([_sample(i, "s") for i in range(9)]), {"a": 0.5, "b": 0.5})
