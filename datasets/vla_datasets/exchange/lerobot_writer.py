"""Episodes as a LeRobot dataset v3.0: whole under its name, or not there at all.

episodes ─┬─► data/    numbers, one row group an episode; pictures too in image mode (PNG, bit-exact)
          ├─► videos/  one stream a camera in video mode
          ├─► meta/    head, episodes, tasks, statistics
          └─► meta/vla what LeRobot has no place for
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla.embodiment import CameraSpec, Embodiment
from vla.errors import ConfigError
from vla.interfaces import Episode
from vla_datasets.exchange import lerobot_format as layout
from vla_datasets.exchange import lerobot_statistics as statistics
from vla_datasets.exchange.lerobot_schema import PICTURE, arrow_schema, features
from vla_datasets.exchange.lerobot_sidecar import SidecarWriter
from vla_datasets.exchange.video_writer import VideoSettings, VideoWriter

MEGABYTE = 1 << 20


class LeRobotWriter:
    """A LeRobot dataset in the making, in a folder that nobody reads yet."""

    def __init__(self, folder: Path, embodiment: Embodiment, videos: VideoSettings | None) -> None:
        """Begin.

        Args:
            videos: None for pictures as PNG in the data files.

        Raises:
            ConfigError: if LeRobot cannot say what the embodiment is.
        """
        if not embodiment.control_hz.is_integer():
            raise ConfigError(f"LeRobot counts whole frames a second, {embodiment.name} has {embodiment.control_hz:g}")
        if not embodiment.action or not embodiment.proprioception:
            raise ConfigError(f"LeRobot needs an action and a state, {embodiment.name} lacks one")
        self._folder = folder
        self._embodiment = embodiment
        self._fps = int(embodiment.control_hz)
        self._settings = videos
        self._sidecar = SidecarWriter(folder)
        self._data = DataFiles(folder, arrow_schema(embodiment, is_filmed=videos is not None))
        cameras = embodiment.cameras if videos is not None else ()
        self._films = {camera.name: Films(folder, camera, self._fps, videos) for camera in cameras if videos}
        self._tasks: dict[str, int] = {}
        self._rows: list[dict[str, Any]] = []
        self._frames = 0
        self._numbers: dict[str, list[np.ndarray]] = {}
        self._levels: dict[str, np.ndarray] = {}

    def append(self, episode: Episode) -> None:
        """Add one episode. Its instruction is what LeRobot calls its task."""
        columns = self._columns(episode)
        row = {
            "episode_index": len(self._rows),
            "tasks": [episode.instruction],
            "length": episode.num_steps,
            **self._data.append(_table(columns, episode, self._data.schema)),
            "dataset_from_index": self._frames,
            "dataset_to_index": self._frames + episode.num_steps,
        }
        for name, films in self._films.items():
            row |= films.append(episode.images[name])
        place = {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        self._rows.append(row | self._count(columns, episode) | place)
        self._frames += episode.num_steps
        self._sidecar.append(episode)

    def close(self, metadata: dict[str, Any]) -> None:
        """Write what is known only at the end.

        Args:
            metadata: of the store.
        """
        self._data.close()
        for films in self._films.values():
            films.close()
        _write_tasks(self._folder / layout.TASKS_FILE, list(self._tasks))
        path = self._folder / layout.EPISODES_PATH.format(chunk_index=0, file_index=0)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(self._rows), path, compression="snappy")
        found = statistics.of_dataset(self._numbers, self._levels, self._frames)
        _write_json(self._folder / layout.STATS_FILE, found)
        _write_json(self._folder / layout.INFO_FILE, self._info())
        how = dataclasses.asdict(self._settings) | {"codec": self._settings.codec.value} if self._settings else {}
        self._sidecar.close(self._embodiment, metadata, {"images": "video" if self._settings else "png", **how})

    def _columns(self, episode: Episode) -> dict[str, np.ndarray]:
        """The episode's numbers as LeRobot lays them out. Times come from integers, in one division each."""
        frames = np.arange(episode.num_steps)
        task = self._tasks.setdefault(episode.instruction, len(self._tasks))
        return {
            layout.ACTION: episode.actions,
            layout.STATE: episode.proprioception,
            "timestamp": (frames / self._fps).astype(np.float32),
            "frame_index": frames,
            "episode_index": np.full(len(frames), len(self._rows)),
            "index": self._frames + frames,
            "task_index": np.full(len(frames), task),
        }

    def _count(self, columns: dict[str, np.ndarray], episode: Episode) -> dict[str, Any]:
        """Add the episode to the dataset's statistics; its own, as columns of its row."""
        own = {name: statistics.of_numbers(values) for name, values in columns.items()}
        for name, values in columns.items():
            self._numbers.setdefault(name, []).append(values)
        for camera, images in episode.images.items():
            key = layout.IMAGES_PREFIX + camera
            levels = statistics.count_levels(images)
            self._levels[key] = self._levels.get(key, 0) + levels
            own[key] = statistics.of_levels(levels, len(images))
        return {f"stats/{name}/{which}": values for name, found in own.items() for which, values in found.items()}

    def _info(self) -> dict[str, Any]:
        return {
            "codebase_version": layout.VERSION,
            "robot_type": self._embodiment.name,
            "total_episodes": len(self._rows),
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": layout.FILES_IN_CHUNK,
            "data_files_size_in_mb": layout.DATA_FILE_MB,
            "video_files_size_in_mb": layout.VIDEO_FILE_MB,
            "fps": self._fps,
            "splits": {"train": f"0:{len(self._rows)}"},
            "data_path": layout.DATA_PATH,
            "video_path": layout.VIDEO_PATH if self._films else None,
            "features": features(self._embodiment, self._settings),
        }


class DataFiles:
    """The frames' rows: a row group an episode, a new file when one is full."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self._folder = folder
        self._number = -1
        self._bytes = 0
        self._writer: pq.ParquetWriter | None = None

    def append(self, table: pa.Table) -> dict[str, int]:
        """Write an episode; where it lies."""
        if self._writer is None or self._bytes + table.nbytes > layout.DATA_FILE_MB * MEGABYTE:
            self._begin()
        assert self._writer is not None
        self._writer.write_table(table)
        self._bytes += table.nbytes
        return {f"data/{name}": value for name, value in _place(self._number).items()}

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _begin(self) -> None:
        self.close()
        self._number, self._bytes = self._number + 1, 0
        path = self._folder / layout.DATA_PATH.format(**_place(self._number))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(path, self.schema, compression="snappy")


class Films:
    """The videos of one camera: episodes one after the other, a new file when one is full."""

    def __init__(self, folder: Path, camera: CameraSpec, fps: int, settings: VideoSettings) -> None:
        self._folder = folder
        self._camera = camera
        self._fps = fps
        self._settings = settings
        self._number = -1
        self._writer: VideoWriter | None = None

    def append(self, images: np.ndarray) -> dict[str, Any]:
        """Write an episode; where it lies."""
        if self._writer is None or self._writer.num_bytes > layout.VIDEO_FILE_MB * MEGABYTE:
            self._begin()
        assert self._writer is not None
        first = self._writer.append(images)
        times = {"from_timestamp": first / self._fps, "to_timestamp": (first + len(images)) / self._fps}
        return {f"videos/{self._key}/{name}": value for name, value in (_place(self._number) | times).items()}

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    @property
    def _key(self) -> str:
        return layout.IMAGES_PREFIX + self._camera.name

    def _begin(self) -> None:
        self.close()
        self._number += 1
        path = self._folder / layout.VIDEO_PATH.format(video_key=self._key, **_place(self._number))
        self._writer = VideoWriter(path, self._fps, self._camera.height, self._camera.width, self._settings)


def _place(number: int) -> dict[str, int]:
    return {"chunk_index": number // layout.FILES_IN_CHUNK, "file_index": number % layout.FILES_IN_CHUNK}


def _table(columns: dict[str, np.ndarray], episode: Episode, schema: pa.Schema) -> pa.Table:
    arrays = {name: _array(values, schema.field(name).type) for name, values in columns.items()}
    for camera, images in episode.images.items():
        key = layout.IMAGES_PREFIX + camera
        if key in schema.names:
            arrays[key] = pa.array([{"bytes": _png(image), "path": None} for image in images], PICTURE)
    return pa.table([arrays[name] for name in schema.names], schema=schema)


def _array(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, kind.list_size) if pa.types.is_fixed_size_list(kind) else flat


def _png(image: np.ndarray) -> bytes:
    is_encoded, content = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    assert is_encoded
    return content.tobytes()


def _write_tasks(path: Path, tasks: list[str]) -> None:
    """The tasks in the order of their index, under pandas' metadata: LeRobot reads the text from the frame's index."""
    path.parent.mkdir(parents=True, exist_ok=True)
    column = {"pandas_type": "int64", "numpy_type": "int64", "metadata": None}
    text = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [{"name": None, "field_name": None, **text, "metadata": {"encoding": "UTF-8"}}],
        "columns": [
            {"name": "task_index", "field_name": "task_index", **column},
            {"name": "task", "field_name": "task", **text},
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.3",
    }
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), path)


def _write_json(path: Path, tree: Any) -> None:
    path.write_text(json.dumps(tree, indent=4, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
