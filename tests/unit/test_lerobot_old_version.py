"""LeRobot v2.1: a data file and a video for each episode, lists as JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vla.errors import DataError
from vla_datasets.exchange.lerobot_reader import open_source
from vla_datasets.exchange.video_writer import VideoCodec, VideoSettings, VideoWriter

LENGTHS = (5, 3)
CAMERA = "observation.images.top"
SETTINGS = VideoSettings(VideoCodec.H264, 10)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    one = {"shape": [1], "names": None}
    features = {
        "action": {"dtype": "float32", "shape": [2], "names": {"motors": ["pan", "grip"]}},
        "observation.state": {"dtype": "float32", "shape": [2], "names": ["pan", "grip"]},
        CAMERA: {"dtype": "video", "shape": [3, 16, 24], "names": ["channels", "height", "width"]},
        "next.success": {"dtype": "bool", **one},
        "timestamp": {"dtype": "float32", **one},
        **{name: {"dtype": "int64", **one} for name in ("frame_index", "episode_index", "index", "task_index")},
    }
    head = {
        "codebase_version": "v2.1",
        "fps": 30,
        "total_episodes": 2,
        "total_frames": sum(LENGTHS),
        "chunks_size": 1000,
        "features": features,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    for name in ("meta", "data/chunk-000", f"videos/chunk-000/{CAMERA}"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "meta/info.json").write_text(json.dumps(head), encoding="utf-8")
    _write_lines(tmp_path / "meta/tasks.jsonl", [{"task_index": 0, "task": "wave"}, {"task_index": 1, "task": "nod"}])
    rows = [{"episode_index": e, "tasks": ["wave"], "length": length} for e, length in enumerate(LENGTHS)]
    _write_lines(tmp_path / "meta/episodes.jsonl", rows)
    for episode, length in enumerate(LENGTHS):
        _write_episode(tmp_path, episode, length)
    return tmp_path


def _write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _write_episode(folder: Path, episode: int, length: int) -> None:
    frames = np.arange(length)
    values = [[float(episode), float(frame)] for frame in frames]
    table = {
        "action": pa.array(values, pa.list_(pa.float32())),
        "observation.state": pa.array(values, pa.list_(pa.float32(), 2)),
        "next.success": pa.array([episode == 0 and frame == length - 1 for frame in frames]),
        "timestamp": pa.array((frames / 30).astype(np.float32)),
        "frame_index": pa.array(frames),
        "episode_index": pa.array(np.full(length, episode)),
        "index": pa.array(frames),
        "task_index": pa.array(np.full(length, episode)),
    }
    pq.write_table(pa.table(table), folder / f"data/chunk-000/episode_{episode:06d}.parquet")
    path = folder / f"videos/chunk-000/{CAMERA}/episode_{episode:06d}.mp4"
    writer = VideoWriter(path, 30, 16, 24, SETTINGS)
    writer.append(np.stack([np.full((16, 24, 3), 40 * frame, np.uint8) for frame in frames]))
    writer.close()


def test_every_episode_is_read(dataset: Path) -> None:
    reader = open_source(dataset)
    first, second = list(reader)
    assert reader.fields["action"].names == ("pan", "grip")
    assert (first.instruction, second.instruction) == ("wave", "nod")
    assert (first.success, second.success) == (True, False)
    assert second.arrays["action"].tolist() == [[1, 0], [1, 1], [1, 2]]
    assert first.times_s is not None
    assert first.times_s.tolist() == [0, 1 / 30, 2 / 30, 3 / 30, 4 / 30]


def test_pictures_are_those_of_the_video(dataset: Path) -> None:
    images = open_source(dataset).read(0).images[CAMERA]
    assert images.shape == (5, 16, 24, 3)
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), [0, 40, 80, 120, 160], atol=3)


def test_an_absent_video_is_named(dataset: Path) -> None:
    (dataset / f"videos/chunk-000/{CAMERA}/episode_000001.mp4").unlink()
    with pytest.raises(DataError, match=r"episode_000001\.mp4, which is not there"):
        open_source(dataset)


def test_a_list_that_is_damaged_is_named_with_its_line(dataset: Path) -> None:
    (dataset / "meta/episodes.jsonl").write_text('{"episode_index": 0, "length": 5}\n{"episode', encoding="utf-8")
    with pytest.raises(DataError, match=r"episodes\.jsonl, line 2 is not JSON"):
        open_source(dataset)


def test_times_of_another_rate_are_kept(dataset: Path) -> None:
    path = dataset / "data/chunk-000/episode_000000.parquet"
    table = pq.read_table(path)
    times = pa.array(np.arange(5, dtype=np.float32) / 10)
    pq.write_table(table.set_column(table.column_names.index("timestamp"), "timestamp", times), path)
    got = open_source(dataset).read(0).times_s
    assert got is not None
    np.testing.assert_allclose(got, np.arange(5) / 10, atol=1e-6)


def test_an_episode_with_several_tasks_has_no_instruction(dataset: Path) -> None:
    path = dataset / "data/chunk-000/episode_000000.parquet"
    table = pq.read_table(path)
    tasks = pa.array([0, 0, 1, 1, 1])
    pq.write_table(table.set_column(table.column_names.index("task_index"), "task_index", tasks), path)
    assert open_source(dataset).read(0).instruction == ""
