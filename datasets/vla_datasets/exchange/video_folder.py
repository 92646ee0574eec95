"""Folders of MP4 videos and JSON lines: the layout for those who write their own recorder.

    <folder>/
      episodes.jsonl         one line an episode:
                             {"index": 0, "instruction": "pick up the cube", "task": "pick", "success": true,
                              "videos": {"front": "videos/0_front.mp4"}, "data": "data/0.jsonl", "control_hz": 10}
      data/0.jsonl           one line a step: {"state": [0.1, 0.2], "action": [0.3], "time_s": 0.0}
      videos/0_front.mp4     one frame a step

`index`, `videos` and `data` are needed, all else may be left out. Paths are relative and stay inside of the folder.
Every step has the same names; a value is a number, true or false, or lists of them of one shape. Numbers become
float64. `time_s`, in seconds from any origin, becomes the times of the steps. A video has as many frames as its data
has lines: frames are never repeated, dropped or turned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from vla.errors import DataError
from vla_datasets.exchange.containment import file_inside
from vla_datasets.exchange.json_lines import read_lines
from vla_datasets.exchange.raw_episode import RawEpisode, SourceField
from vla_datasets.exchange.video_frames import frame_size, read_frames

EPISODES_FILE = "episodes.jsonl"
TIME = "time_s"

_KEYS = {"index", "instruction", "task", "success", "videos", "data", "control_hz"}


def open_source(path: Path) -> VideoFolderReader:
    """The episodes that `episodes.jsonl` lists, whose files are all there.

    Raises:
        DataError: naming the line, file or key that is not as the layout says.
    """
    file = path / EPISODES_FILE
    episodes = tuple(_episode_line(path, line, f"{file}, line {n}") for n, line in enumerate(read_lines(file), 1))
    if not episodes:
        raise DataError(f"{file} lists no episodes")
    _require_alike(episodes, file)
    return VideoFolderReader(path=path, episodes=episodes, fields=_fields(episodes[0]))


@dataclasses.dataclass(frozen=True, slots=True)
class EpisodeLine:
    """One line of `episodes.jsonl`, its paths resolved."""

    index: int
    instruction: str
    task: str
    success: bool | None
    videos: Mapping[str, Path]
    data: Path
    control_hz: float | None


@dataclasses.dataclass(frozen=True)
class VideoFolderReader:
    """A folder of videos and their data."""

    path: Path
    episodes: tuple[EpisodeLine, ...]
    fields: Mapping[str, SourceField]

    @property
    def control_hz(self) -> float | None:
        return self.episodes[0].control_hz

    def __len__(self) -> int:
        return len(self.episodes)

    def __iter__(self) -> Iterator[RawEpisode]:
        return (self.read(position) for position in range(len(self)))

    def index_of(self, position: int) -> int:
        """The `index` of a line."""
        return self.episodes[position].index

    def read(self, position: int) -> RawEpisode:
        """The episode at `position`, without those before it.

        Raises:
            DataError: as iteration does.
        """
        line = self.episodes[position]
        arrays = _read_data(line.data)
        self._check_fields(arrays, line.data)
        steps = len(next(iter(arrays.values())))
        images = {camera: read_frames(video, steps, self.fields[camera].shape) for camera, video in line.videos.items()}
        return RawEpisode(
            index=line.index,
            arrays={name: values for name, values in arrays.items() if name != TIME},
            images=images,
            instruction=line.instruction,
            task=line.task,
            success=line.success,
            times_s=_times(arrays, line.data),
        )

    def _check_fields(self, arrays: Mapping[str, np.ndarray], file: Path) -> None:
        """Return if the data have the names, kinds and shapes of the first episode."""
        cameras = self.episodes[0].videos
        expected = {name: field for name, field in self.fields.items() if name not in cameras}
        found = {name: _field(values) for name, values in arrays.items() if name != TIME}
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                shown, wanted = _text(found.get(name)), _text(expected.get(name))
                raise DataError(f"{file}: '{name}' is {shown}, that of the first episode is {wanted}")


def _fields(first: EpisodeLine) -> dict[str, SourceField]:
    """Of the first episode, to which all others are held."""
    arrays = _read_data(first.data)
    cameras = {camera: SourceField("uint8", (*frame_size(video), 3)) for camera, video in first.videos.items()}
    if both := cameras.keys() & arrays.keys():
        raise DataError(f"{first.data}: '{min(both)}' is also the name of a camera")
    return {name: _field(values) for name, values in arrays.items() if name != TIME} | cameras


def _field(values: np.ndarray) -> SourceField:
    return SourceField(dtype=values.dtype.name, shape=values.shape[1:])


def _text(field: SourceField | None) -> str:
    return "absent" if field is None else f"{field.dtype} {field.shape} a step"


def _require_alike(episodes: tuple[EpisodeLine, ...], file: Path) -> None:
    """Return if indices differ, and cameras and rates do not."""
    first, seen = episodes[0], set[int]()
    for episode in episodes:
        if episode.index in seen:
            raise DataError(f"{file} has two episodes of index {episode.index}")
        seen.add(episode.index)
        if episode.videos.keys() != first.videos.keys():
            raise DataError(f"{file}: episode {episode.index} has cameras {[*episode.videos]}, not {[*first.videos]}")
        if episode.control_hz != first.control_hz:
            raise DataError(f"{file}: episode {episode.index} is at {episode.control_hz} Hz, not {first.control_hz}")


# --------------------------------------------------------------------------- episodes.jsonl


def _episode_line(folder: Path, line: Mapping[str, Any], where: str) -> EpisodeLine:
    if foreign := sorted(line.keys() - _KEYS):
        raise DataError(f"{where} has the unknown key '{foreign[0]}' (keys: {', '.join(sorted(_KEYS))})")
    index, rate, success = line.get("index"), line.get("control_hz"), line.get("success")
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise DataError(f"{where}: 'index' is {index!r}, expected a whole number from 0")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1e6):
        raise DataError(f"{where}: 'control_hz' is {rate!r}, expected a positive number")
    if not isinstance(success, bool | None):
        raise DataError(f"{where}: 'success' is {success!r}, expected true, false or nothing")
    return EpisodeLine(
        index=index,
        instruction=_string(line, "instruction", where, default=""),
        task=_string(line, "task", where, default=""),
        success=success,
        videos=_videos(folder, line.get("videos"), where),
        data=file_inside(folder, _string(line, "data", where), where),
        control_hz=None if rate is None else float(rate),
    )


def _string(line: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = line.get(key, default)
    if not isinstance(value, str):
        raise DataError(f"{where}: '{key}' is {value!r}, expected a text")
    return value


def _videos(folder: Path, videos: object, where: str) -> dict[str, Path]:
    if not isinstance(videos, dict):
        raise DataError(f"{where}: 'videos' is {videos!r}, expected paths by camera")
    return {camera: file_inside(folder, _string(videos, camera, where), where) for camera in videos}


# --------------------------------------------------------------------------- data


def _read_data(file: Path) -> dict[str, np.ndarray]:
    """The columns of a data file, a row a line."""
    lines = list(read_lines(file))
    if not lines or not lines[0]:
        raise DataError(f"{file} has no steps, or no values in them")
    for number, line in enumerate(lines, 1):
        if line.keys() != lines[0].keys():
            name = min(line.keys() ^ lines[0].keys())
            raise DataError(f"{file}, line {number}: '{name}' is in this line or in line 1, not in both")
    return {name: _column([line[name] for line in lines], f"{file}: '{name}'") for name in lines[0]}


def _column(values: list[Any], where: str) -> np.ndarray:
    """Numbers as float64, truths as bool; nothing else."""
    try:
        rows = [np.asarray(value) for value in values]
    except (ValueError, OverflowError):
        raise DataError(f"{where} has lists of unequal lengths") from None
    for number, row in enumerate(rows, 1):
        if row.dtype.kind not in "biuf":
            raise DataError(f"{where}, line {number}, is {values[number - 1]!r:.60}, expected numbers")
        if row.shape != rows[0].shape or (row.dtype.kind == "b") != (rows[0].dtype.kind == "b"):
            raise DataError(
                f"{where}, line {number}, is {row.dtype} {row.shape}, in line 1 it is {rows[0].dtype} {rows[0].shape}"
            )
    return np.stack(rows).astype(bool if rows[0].dtype.kind == "b" else np.float64)


def _times(arrays: Mapping[str, np.ndarray], file: Path) -> Float64[np.ndarray, " steps"] | None:
    times = arrays.get(TIME)
    if times is not None and (times.shape[1:] or times.dtype != np.float64):
        raise DataError(f"{file}: '{TIME}' is {_text(_field(times))}, expected one number")
    return times
