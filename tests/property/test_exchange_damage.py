"""Truncated and altered sources of every format end in episodes or in a DataError, and in nothing else."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.foreign_sources import write_hdf5, write_json_lines, write_replay, write_video
from vla.errors import DataError
from vla_datasets.exchange import hdf5, replay_zarr, video_folder
from vla_datasets.exchange.raw_episode import SourceReader

DAMAGE = st.lists(st.tuples(st.integers(0, 2**31), st.integers(0, 7)), min_size=1, max_size=3)
CUT = st.none() | st.floats(0, 1, exclude_max=True)
FEW = settings(max_examples=40, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One source of each kind, whole."""
    folder = tmp_path_factory.mktemp("good")
    pictures = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    numbers = np.arange(8.0).reshape(4, 2)
    write_hdf5(folder / "hdf5", [{"actions": numbers, "obs/rgb": pictures}])
    write_replay(folder / "zarr", {"action": numbers, "img": pictures}, [2, 4], chunk=2)
    write_json_lines(folder / "videos/episodes.jsonl", [{"index": 0, "videos": {"front": "0.mp4"}, "data": "0.jsonl"}])
    write_json_lines(folder / "videos/0.jsonl", [{"action": [0.5, t], "time_s": 0.1 * t} for t in range(4)])
    write_video(folder / "videos/0.mp4", pictures)
    return folder


@FEW
@given(DAMAGE, CUT, st.integers(0, 100))
def test_an_hdf5_file(good: Path, tmp_path: Path, flips: list[tuple[int, int]], cut: float | None, which: int) -> None:
    _damaged(good / "hdf5", tmp_path / "hdf5", flips, cut, which)
    _read_or_refuse(hdf5.open_source, tmp_path / "hdf5")


@FEW
@given(DAMAGE, CUT, st.integers(0, 100))
def test_a_replay_buffer(
    good: Path, tmp_path: Path, flips: list[tuple[int, int]], cut: float | None, which: int
) -> None:
    _damaged(good / "zarr", tmp_path / "zarr", flips, cut, which)
    _read_or_refuse(replay_zarr.open_source, tmp_path / "zarr")


@FEW
@given(DAMAGE, CUT, st.integers(0, 100))
def test_a_packed_replay_buffer(
    good: Path, tmp_path: Path, flips: list[tuple[int, int]], cut: float | None, which: int
) -> None:
    packed = shutil.make_archive(str(good / "packed"), "zip", good / "zarr")
    _damaged(Path(packed), tmp_path / "a.zarr.zip", flips, cut, which)
    _read_or_refuse(replay_zarr.open_source, tmp_path / "a.zarr.zip")


@FEW
@given(DAMAGE, CUT, st.integers(0, 100))
def test_a_folder_of_videos(
    good: Path, tmp_path: Path, flips: list[tuple[int, int]], cut: float | None, which: int
) -> None:
    _damaged(good / "videos", tmp_path / "videos", flips, cut, which)
    _read_or_refuse(video_folder.open_source, tmp_path / "videos")


def _damaged(good: Path, bad: Path, flips: list[tuple[int, int]], cut: float | None, which: int) -> None:
    """A copy of a file or folder, one file of it with flipped bits and perhaps its end cut off."""
    shutil.rmtree(bad, ignore_errors=True)
    shutil.copytree(good, bad) if good.is_dir() else shutil.copy(good, bad)
    files = sorted(file for file in bad.rglob("*") if file.is_file()) or [bad]
    file = files[which % len(files)]
    content = bytearray(file.read_bytes())
    for place, bit in flips:
        content[place % len(content)] ^= 1 << bit
    file.write_bytes(content if cut is None else content[: int(cut * len(content))])


def _read_or_refuse(open_source: Callable[[Path], SourceReader], path: Path) -> None:
    with contextlib.suppress(DataError):
        reader = open_source(path)
        for episode in reader:
            assert {*episode.arrays, *episode.images} == {*reader.fields}
            assert len({len(values) for values in (*episode.arrays.values(), *episode.images.values())}) == 1
