"""LeRobot datasets, v3.0 and v2.1, with PyArrow and PyAV alone: every array and RGB stream under its own name.

Depth, text and language columns are left out. Times are `frame_index / fps` from integers, if that is what the stored
float32 timestamps mean. An episode with several tasks has no instruction: the mapping has to give one.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from vla.errors import DataError
from vla_datasets.exchange import lerobot_format as layout
from vla_datasets.exchange.containment import file_inside
from vla_datasets.exchange.encoded_pictures import decode_steps
from vla_datasets.exchange.json_files import parse_object
from vla_datasets.exchange.parquet_tables import EpisodeRows, numbers, read_rows, read_table, values_of
from vla_datasets.exchange.raw_episode import RawEpisode, SourceField
from vla_datasets.exchange.video_streams import VideoStream

TIME_TOLERANCE = 0.1
"""Share of a frame interval by which a stored timestamp may differ from its frame's number: float32 rounds."""


@dataclasses.dataclass(frozen=True)
class VideoPlace:
    """Where an episode's pictures lie."""

    path: Path
    first_frame: int


@dataclasses.dataclass(frozen=True)
class EpisodePlace:
    """Where an episode lies."""

    index: int
    length: int
    data: Path
    videos: Mapping[str, VideoPlace]


def open_source(path: Path) -> LeRobotReader:
    """The dataset in the folder `path`.

    Raises:
        DataError: naming the file that is absent, damaged, or leads out of the folder.
    """
    info = layout.read_info(path)
    if info.version == layout.VERSION:
        tasks, places = _tasks(path), _places(path, info)
    else:
        tasks, places = _old_tasks(path), _old_places(path, info)
    if len(places) != info.total_episodes or sum(place.length for place in places) != info.total_frames:
        raise DataError(
            f"{path / layout.INFO_FILE} says {info.total_episodes} episodes and {info.total_frames} frames, the list "
            f"of episodes has {len(places)} and {sum(place.length for place in places)}"
        )
    return LeRobotReader(path, info, tasks, tuple(places))


class LeRobotReader:
    """A `SourceReader`; use `open_source`."""

    def __init__(self, path: Path, info: layout.Info, tasks: Mapping[int, str], places: tuple[EpisodePlace, ...]):
        self._path = path
        self._info = info
        self._tasks = tasks
        self._places = places
        self._numbers = {name: f for name, f in info.features.items() if f.is_numbers}
        self._images = {name: f for name, f in info.features.items() if f.is_picture and f.dtype == "image"}
        self._videos = {name: f for name, f in info.features.items() if f.is_picture and f.dtype == "video"}
        self._rows = EpisodeRows([*self._numbers, *self._images])
        self._streams: dict[str, tuple[Path, VideoStream]] = {}

    @property
    def path(self) -> Path:
        return self._path

    @property
    def fields(self) -> Mapping[str, SourceField]:
        kept = self._numbers | self._images | self._videos
        return {
            name: SourceField("uint8", feature.picture_shape, ())
            if feature.is_picture
            else SourceField(feature.dtype, feature.shape, feature.names)
            for name, feature in kept.items()
        }

    @property
    def control_hz(self) -> float | None:
        return self._info.fps

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[RawEpisode]:
        return (self.read(position) for position in range(len(self)))

    def index_of(self, position: int) -> int:
        """The `episode_index` at this place in the order."""
        return self._places[position].index

    def read(self, position: int) -> RawEpisode:
        """One episode, by its place in the order.

        Raises:
            DataError: naming the file and what is wrong with it.
        """
        place = self._places[position]
        where = f"{place.data}, episode {place.index}"
        table = self._rows.read(place.data, place.index)
        if table.num_rows != place.length:
            raise DataError(f"{where} has {table.num_rows} rows, the list of episodes says {place.length}")
        arrays = {name: numbers(table, name, f.shape, where) for name, f in self._numbers.items()}
        arrays = {name: values[:, 0] if values.shape[1:] == (1,) else values for name, values in arrays.items()}
        return RawEpisode(
            index=place.index,
            arrays=arrays,
            images=self._pictures(table, place),
            instruction=self._instruction(arrays["task_index"], where),
            task="",
            success=bool(arrays[layout.SUCCESS][-1]) if layout.SUCCESS in arrays else None,
            times_s=_times(arrays["frame_index"], arrays["timestamp"], self._info.fps, where),
        )

    def _pictures(self, table: pa.Table, place: EpisodePlace) -> dict[str, np.ndarray]:
        stored = {name: self._decoded(table, name, feature, place) for name, feature in self._images.items()}
        return stored | {name: self._filmed(name, feature, place) for name, feature in self._videos.items()}

    def _decoded(self, table: pa.Table, name: str, feature: layout.Feature, place: EpisodePlace) -> np.ndarray:
        where = f"{place.data}, episode {place.index}, '{name}'"
        contents = [self._content(entry, where) for entry in values_of(table, name, place.data)]
        return decode_steps(contents, feature.picture_shape, "uint8", where)

    def _content(self, entry: Any, where: str) -> bytes:
        """The encoded picture: in its row, or in a file that the row names."""
        if isinstance(entry, dict) and isinstance(entry.get("bytes"), bytes):
            return entry["bytes"]
        if isinstance(entry, dict) and isinstance(entry.get("path"), str):
            return file_inside(self._path, entry["path"], where).read_bytes()
        raise DataError(f"{where} has a row without a picture")

    def _filmed(self, name: str, feature: layout.Feature, place: EpisodePlace) -> np.ndarray:
        video = place.videos[name]
        if name not in self._streams or self._streams[name][0] != video.path:
            if name in self._streams:
                self._streams[name][1].close()
            self._streams[name] = (video.path, VideoStream(video.path, self._info.fps, feature.picture_shape))
        return self._streams[name][1].read(video.first_frame, place.length)

    def _instruction(self, task_index: np.ndarray, where: str) -> str:
        tasks = np.unique(task_index).tolist()
        for task in tasks:
            if task not in self._tasks:
                raise DataError(f"{where} has task_index {task}, which the list of tasks does not have")
        return self._tasks[tasks[0]] if len(tasks) == 1 else ""


def _times(frames: np.ndarray, stored: np.ndarray, fps: float, where: str) -> Float64[np.ndarray, " steps"]:
    if not np.array_equal(frames, np.arange(len(frames))):
        raise DataError(f"{where}: frame_index should count from 0, it begins {frames[:4].tolist()}")
    exact = frames / fps
    is_exact = bool((np.abs(stored - exact) * fps <= TIME_TOLERANCE).all())
    return exact if is_exact else stored.astype(np.float64)


# --------------------------------------------------------------------------- version 3.0


def _tasks(folder: Path) -> dict[int, str]:
    path = file_inside(folder, layout.TASKS_FILE, str(folder))
    table = read_table(path)
    text = next((name for name in ("task", "__index_level_0__") if name in table.column_names), None)
    if text is None or "task_index" not in table.column_names:
        raise DataError(f"{path} should have the columns task and task_index, it has {table.column_names}")
    return dict(zip(values_of(table, "task_index", path), values_of(table, text, path), strict=True))


def _places(folder: Path, info: layout.Info) -> list[EpisodePlace]:
    files = sorted((folder / "meta/episodes").glob("*/*.parquet"))
    videos = [name for name, feature in info.features.items() if feature.is_picture and feature.dtype == "video"]
    columns = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    for name in videos:
        columns += [f"videos/{name}/{column}" for column in ("chunk_index", "file_index", "from_timestamp")]
    rows: list[dict[str, Any]] = []
    for file in files:
        path = file_inside(folder, file.relative_to(folder).as_posix(), str(folder))
        rows += read_rows(path, columns)
    if not all(isinstance(row[column], int | float) for row in rows for column in columns):
        raise DataError(f"{folder / 'meta/episodes'} has rows that are not numbers")
    return [_place(folder, info, row, videos) for row in sorted(rows, key=lambda row: row["episode_index"])]


def _place(folder: Path, info: layout.Info, row: Mapping[str, Any], videos: list[str]) -> EpisodePlace:
    def file(template: str, key: str, prefix: str, **values: str) -> Path:
        indices = {name: row[f"{prefix}/{name}"] for name in ("chunk_index", "file_index")}
        return layout.file_of(folder, template, key, **indices, **values)

    return EpisodePlace(
        index=row["episode_index"],
        length=row["length"],
        data=file(info.data_path, "data_path", "data"),
        videos={
            name: VideoPlace(
                file(info.video_path, "video_path", f"videos/{name}", video_key=name),
                _first_frame(row[f"videos/{name}/from_timestamp"] * info.fps, folder, name),
            )
            for name in videos
        },
    )


def _first_frame(exact: float, folder: Path, key: str) -> int:
    if not (math.isfinite(exact) and exact >= 0):
        raise DataError(f"{folder / 'meta/episodes'}: an episode begins at {exact} frames of '{key}'")
    return round(exact)


# --------------------------------------------------------------------------- version 2.1


def _old_tasks(folder: Path) -> dict[int, str]:
    return {
        int(row["task_index"]): str(row["task"]) for row in _json_lines(folder, layout.OLD_TASKS_FILE, "task_index")
    }


def _old_places(folder: Path, info: layout.Info) -> list[EpisodePlace]:
    videos = [name for name, feature in info.features.items() if feature.is_picture and feature.dtype == "video"]
    places = []
    for row in _json_lines(folder, layout.OLD_EPISODES_FILE, "episode_index"):
        episode: int = row["episode_index"]
        numbers = {"episode_index": episode, "episode_chunk": episode // info.chunks_size}
        data = layout.file_of(folder, info.data_path, "data_path", **numbers)
        found = {
            name: VideoPlace(layout.file_of(folder, info.video_path, "video_path", video_key=name, **numbers), 0)
            for name in videos
        }
        places.append(EpisodePlace(episode, int(row.get("length", -1)), data, found))
    return sorted(places, key=lambda place: place.index)


def _json_lines(folder: Path, name: str, key: str) -> list[dict[str, Any]]:
    path = file_inside(folder, name, str(folder))
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = [parse_object(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get(key), int):
            raise DataError(f"{path}, line {number} has no number '{key}': {json.dumps(row)[:80]}")
    return rows
