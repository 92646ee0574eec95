from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla.errors import DataError, StoreError
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.mixing.text_lines import TextLines
from vla_datasets.store import EpisodeStore
from vla_datasets.store_frames import StoreFrames
from vla_datasets.windows import load_frames


@pytest.mark.parametrize("lookahead", [0, 3])
def test_frames_by_number_are_those_of_all_frames_in_memory(tmp_path: Path, lookahead: int) -> None:
    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT)
    for seed in range(3):
        store.append(make_episode(SMALL_EMBODIMENT, 4 + seed, seed, lookahead=lookahead))
    frames, by_number = load_frames([store], 3), StoreFrames([tmp_path / "store"], 3)
    assert len(by_number) == len(frames) == 15
    for index in (14, 0, 3, 4, 8, 9):
        sample = by_number[index]
        for name, image in sample.images.items():
            np.testing.assert_array_equal(image, frames.images[name][index])
        np.testing.assert_array_equal(sample.proprioception, frames.proprioception[index])
        np.testing.assert_array_equal(sample.chunk, frames.chunks[index])
        np.testing.assert_array_equal(sample.chunk_padding, frames.chunk_padding[index])


def test_frames_of_what_is_no_store_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no episode store at"):
        StoreFrames([tmp_path / "nothing"], 3)
    with pytest.raises(StoreError, match="frames need one store or more and a horizon ≥ 1, got 0 and 3"):
        StoreFrames([], 3)


def test_a_frame_beyond_the_last_is_refused(tmp_path: Path) -> None:
    EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT).append(make_episode(SMALL_EMBODIMENT, 4, 0))
    with pytest.raises(IndexError, match="robot has frames 0 to 3, not 4"):
        StoreFrames([tmp_path / "store"], 3)[4]


def test_lines_of_text_are_samples_without_pictures(tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text('{"question": "two plus one?", "answer": "three", "licence": "MIT"}\n\n{"answer": "four"}\n')
    lines = TextLines(file, "CC0-1.0")
    assert [(line.question, line.answer, line.licence, line.source) for line in map(lines.__getitem__, range(2))] == [
        ("two plus one?", "three", "MIT", "sums:1"),
        ("", "four", "CC0-1.0", "sums:3"),
    ]
    assert lines[0].images == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "sums.jsonl:1 is not JSON"),
        ("3", 'expected an object with "question" and "answer", got int'),
        ('{"answer": 3}', "'answer' is text, got int"),
        ('{"question": "one?"}', "sums.jsonl:1 has no answer"),
        ('{"answer": "one"}', "sums.jsonl:1 states no licence"),
    ],
)
def test_a_line_that_is_no_sample_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "sums.jsonl").write_text(line)
    with pytest.raises(DataError, match=message):
        TextLines(tmp_path / "sums.jsonl")[0]


def test_lines_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sums\.jsonl cannot be read: No such file"):
        TextLines(tmp_path / "sums.jsonl")
    (tmp_path / "sums.jsonl").write_text('{"answer": "one"}')
    with pytest.raises(IndexError, match="sums has samples 0 to 0, not 1"):
        TextLines(tmp_path / "sums.jsonl")[1]
