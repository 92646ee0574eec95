"""LeRobot datasets that are damaged, lie about themselves or lead out of their folder are refused by name."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vla import commands
from vla.embodiment import CameraSpec
from vla.errors import ConfigError, DataError
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.exchange.lerobot_reader import open_source
from vla_datasets.exchange.lerobot_sidecar import open_sidecar
from vla_datasets.exchange.lerobot_writer import LeRobotWriter
from vla_datasets.exchange.staged_folder import staged_folder
from vla_datasets.exchange.video_writer import VideoCodec, VideoSettings

DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
VIDEO = "videos/observation.images.scene/chunk-000/file-000.mp4"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "dataset"
    folder.mkdir()
    writer = LeRobotWriter(folder, SMALL_EMBODIMENT, VideoSettings(VideoCodec.H264, 20))
    for seed in range(3):
        writer.append(make_episode(SMALL_EMBODIMENT, steps=6, seed=seed))
    writer.close({})
    return folder


@pytest.fixture
def dataset(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "dataset"))


def _change_head(dataset: Path, **changes: Any) -> None:
    path = dataset / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes), encoding="utf-8")


def _change_table(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def _read(dataset: Path) -> int:
    return sum(1 for _ in open_source(dataset))


def test_the_whole_dataset_is_read(dataset: Path) -> None:
    assert _read(dataset) == 3


@pytest.mark.parametrize(
    "template",
    ["../{chunk_index}/{file_index}.parquet", "/etc/{chunk_index}", "data/../../{chunk_index}", "..\\{chunk_index}"],
)
@pytest.mark.parametrize("key", ["data_path", "video_path"])
def test_a_path_that_leaves_the_folder_is_refused(dataset: Path, key: str, template: str) -> None:
    _change_head(dataset, **{key: template})
    with pytest.raises(DataError, match=f"{key} of .*info.json names the path"):
        _read(dataset)


@pytest.mark.parametrize("template", ["{chunk_index.__class__}", "{secret}", "{0}", "{"])
def test_a_template_that_asks_for_more_is_refused(dataset: Path, template: str) -> None:
    _change_head(dataset, data_path=template)
    with pytest.raises(DataError, match=r"data_path of .* (has the placeholder|is no path template)"):
        _read(dataset)


def test_a_link_that_leaves_the_folder_is_refused(dataset: Path, tmp_path: Path) -> None:
    os.rename(dataset / DATA, tmp_path / "elsewhere.parquet")
    (dataset / DATA).symlink_to(tmp_path / "elsewhere.parquet")
    with pytest.raises(DataError, match="which a link leads out of"):
        _read(dataset)


def test_a_cut_video_is_named(dataset: Path) -> None:
    content = (dataset / VIDEO).read_bytes()
    (dataset / VIDEO).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"scene/chunk-000/file-000\.mp4 is not a readable video"):
        _read(dataset)


def test_a_video_that_is_none_is_named(dataset: Path) -> None:
    (dataset / VIDEO).write_text("#EXTM3U\n/etc/passwd\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"file-000\.mp4 is not a readable video"):
        _read(dataset)


def test_a_video_that_is_too_short_is_named(dataset: Path) -> None:
    def lengthen(table: pa.Table) -> pa.Table:
        starts = pa.array([row + 4.0 for row in table.column(f"videos/{KEY}/from_timestamp").to_pylist()])
        return table.set_column(table.column_names.index(f"videos/{KEY}/from_timestamp"), KEY_START, starts)

    _change_table(dataset / EPISODES, lengthen)
    with pytest.raises(DataError, match=r"file-000\.mp4 (ends before|has no) frame \d+"):
        _read(dataset)


KEY = "observation.images.scene"
KEY_START = f"videos/{KEY}/from_timestamp"


def test_a_video_of_another_size_is_named(dataset: Path) -> None:
    features = json.loads((dataset / "meta/info.json").read_bytes())["features"]
    features[KEY]["shape"] = [32, 32, 3]
    _change_head(dataset, features=features)
    with pytest.raises(DataError, match=r"file-000\.mp4 is 16 x 24, its dataset says 32 x 32"):
        _read(dataset)


def test_another_rate_than_the_videos_is_refused(dataset: Path) -> None:
    _change_head(dataset, fps=7)
    with pytest.raises(DataError, match=r"has a frame at 0\.700 frame intervals: its rate is another"):
        _read(dataset)


def test_rows_that_are_missing_are_counted(dataset: Path) -> None:
    _change_table(dataset / DATA, lambda table: table.slice(0, 16))
    with pytest.raises(DataError, match="episode 2 has 4 rows, the list of episodes says 6"):
        _read(dataset)


def test_an_absent_column_is_named(dataset: Path) -> None:
    _change_table(dataset / DATA, lambda table: table.drop_columns(["action"]))
    with pytest.raises(DataError, match="episode 0 has no column 'action'"):
        _read(dataset)


def test_a_row_without_values_is_refused(dataset: Path) -> None:
    def forget(table: pa.Table) -> pa.Table:
        values = [None, *table.column("action").to_pylist()[1:]]
        kind = table.schema.field("action").type
        return table.set_column(table.column_names.index("action"), "action", pa.array(values, kind))

    _change_table(dataset / DATA, forget)
    with pytest.raises(DataError, match="column 'action' has rows without values"):
        _read(dataset)


def test_a_cut_data_file_is_named(dataset: Path) -> None:
    (dataset / DATA).write_bytes((dataset / DATA).read_bytes()[:-20])
    with pytest.raises(DataError, match=r"file-000\.parquet is not a whole Parquet file"):
        _read(dataset)


def test_frames_out_of_order_are_refused(dataset: Path) -> None:
    _change_table(dataset / DATA, lambda table: table.take(np.arange(18)[::-1]))
    with pytest.raises(DataError, match="frame_index should count from 0, it begins"):
        _read(dataset)


def test_a_head_that_counts_otherwise_is_refused(dataset: Path) -> None:
    _change_head(dataset, total_episodes=4)
    with pytest.raises(DataError, match="says 4 episodes and 18 frames, the list of episodes has 3 and 18"):
        _read(dataset)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codebase_version": "v2.0"}, "is LeRobot v2.0; v3.0 and v2.1 are read"),
        ({"fps": 0}, "fps should be positive"),
        ({"features": 3}, "is not whole: AttributeError"),
        ({"fps": None}, "is not whole: TypeError"),
    ],
)
def test_a_head_that_is_not_whole_is_refused(dataset: Path, change: dict[str, Any], message: str) -> None:
    _change_head(dataset, **change)
    with pytest.raises(DataError, match=message):
        _read(dataset)


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is no LeRobot dataset: it has no meta/info\.json"):
        open_source(tmp_path)


# --------------------------------------------------------------------------- our sidecar


def test_an_export_that_was_edited_is_not_taken_for_what_it_was(dataset: Path) -> None:
    def edit(table: pa.Table) -> pa.Table:
        actions = np.zeros((18, 5), np.float32)
        values = pa.array(list(actions), table.schema.field("action").type)
        return table.set_column(table.column_names.index("action"), "action", values)

    _change_table(dataset / DATA, edit)
    sidecar = open_sidecar(dataset)
    assert sidecar is not None
    with pytest.raises(DataError, match="episode 0 is not the one that was exported: it was edited since"):
        sidecar.episode(open_source(dataset).read(0))


def test_a_sidecar_with_another_embodiment_is_refused(dataset: Path) -> None:
    path = dataset / "meta/vla.json"
    head = json.loads(path.read_bytes())
    head["embodiment"]["frame"] = "world"
    path.write_text(json.dumps(head), encoding="utf-8")
    with pytest.raises(DataError, match="its embodiment does not have the fingerprint beside it"):
        open_sidecar(dataset)


def test_a_dataset_of_others_needs_a_mapping(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (dataset / "meta/vla.json").unlink()
    assert commands.main(["data", "import", "format=lerobot", f"source={dataset}", f"out={tmp_path / 's'}"]) == 2
    assert "does not say what robot it is of: give embodiment=<path>" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


# --------------------------------------------------------------------------- what cannot be written


def test_a_rate_that_lerobot_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"LeRobot counts whole frames a second, small has 12\.5"):
        LeRobotWriter(tmp_path, dataclasses.replace(SMALL_EMBODIMENT, control_hz=12.5), None)


def test_odd_pictures_cannot_be_films(tmp_path: Path) -> None:
    embodiment = dataclasses.replace(SMALL_EMBODIMENT, cameras=(CameraSpec("scene", 15, 24),))
    writer = LeRobotWriter(tmp_path, embodiment, VideoSettings(VideoCodec.H264, 20))
    with pytest.raises(ConfigError, match="videos need even sides, got 15 x 24: export images"):
        writer.append(make_episode(embodiment, steps=2, seed=0))


def test_a_quality_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"quality of h264 is from 0 \(best\) to 51, got 60"):
        VideoSettings(VideoCodec.H264, 60)


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="is there already"), staged_folder(tmp_path / "out"):
        pass


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with staged_folder(tmp_path / "out") as folder:
            (folder / "file").write_text("half", encoding="utf-8")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert list(tmp_path.iterdir()) == []
