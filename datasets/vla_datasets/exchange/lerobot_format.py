"""What lies where in a LeRobot dataset: names, paths and features of v3.0, and of v2.1 where it differs.

    meta/info.json                                        the head: rate, features, path templates
    meta/tasks.parquet, meta/stats.json
    meta/episodes/chunk-000/file-000.parquet              a row an episode: where its frames and videos lie
    data/chunk-000/file-000.parquet                       a row a frame, many episodes a file
    videos/<key>/chunk-000/file-000.mp4                   many episodes one after the other
    meta/vla/                                             ours, which LeRobot does not look at

Source: LeRobot 0.6.1, lerobot/datasets/utils.py and dataset_metadata.py.
"""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla.errors import DataError
from vla_datasets.exchange.containment import file_inside
from vla_datasets.exchange.json_files import read_json

VERSION = "v3.0"
OLD_VERSION = "v2.1"

INFO_FILE = "meta/info.json"
STATS_FILE = "meta/stats.json"
TASKS_FILE = "meta/tasks.parquet"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
OLD_TASKS_FILE = "meta/tasks.jsonl"
OLD_EPISODES_FILE = "meta/episodes.jsonl"

FILES_IN_CHUNK = 1000
DATA_FILE_MB = 100
VIDEO_FILE_MB = 200

ACTION = "action"
STATE = "observation.state"
IMAGES_PREFIX = "observation.images."
SUCCESS = "next.success"
PICTURE_TYPES = ("image", "video")
DEFAULT_FEATURES: dict[str, dict[str, Any]] = {
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    "frame_index": {"dtype": "int64", "shape": [1], "names": None},
    "episode_index": {"dtype": "int64", "shape": [1], "names": None},
    "index": {"dtype": "int64", "shape": [1], "names": None},
    "task_index": {"dtype": "int64", "shape": [1], "names": None},
}
"""Every dataset has them."""

_PLACEHOLDERS = {"video_key", "chunk_index", "file_index", "episode_chunk", "episode_index"}


@dataclasses.dataclass(frozen=True)
class Feature:
    """One column, or one stream of pictures."""

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...]
    """Of its numbers, if they are named one by one."""
    is_depth: bool

    @property
    def is_picture(self) -> bool:
        """Whether it is a stream of RGB pictures; depth is none."""
        return self.dtype in PICTURE_TYPES and not self.is_depth and 3 in (self.shape[0], self.shape[-1])

    @property
    def is_numbers(self) -> bool:
        return self.dtype == "bool" or self.dtype.startswith(("float", "int", "uint"))

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Height, width, 3; some datasets have the channels first."""
        first, middle, last = self.shape
        return (first, middle, last) if last == 3 else (middle, last, first)


@dataclasses.dataclass(frozen=True)
class Info:
    """The head of a dataset, `meta/info.json`."""

    version: str
    fps: float
    total_episodes: int
    total_frames: int
    features: Mapping[str, Feature]
    data_path: str
    video_path: str
    chunks_size: int


def read_info(folder: Path) -> Info:
    """The head of the dataset in `folder`.

    Raises:
        DataError: if it is no LeRobot dataset of a version that is read, or its head is not whole.
    """
    if not (folder / INFO_FILE).is_file():
        raise DataError(f"{folder} is no LeRobot dataset: it has no {INFO_FILE}")
    tree = read_json(folder / INFO_FILE)
    version = tree.get("codebase_version")
    if version not in (VERSION, OLD_VERSION):
        raise DataError(f"{folder} is LeRobot {version}; {VERSION} and {OLD_VERSION} are read: convert it with lerobot")
    try:
        info = _parse(tree)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(f"{folder / INFO_FILE} is not whole: {type(error).__name__} {error}") from None
    if not info.fps > 0:
        raise DataError(f"{folder / INFO_FILE}: fps should be positive, got {info.fps}")
    return info


def _parse(tree: Mapping[str, Any]) -> Info:
    return Info(
        version=tree["codebase_version"],
        fps=float(tree["fps"]),
        total_episodes=int(tree["total_episodes"]),
        total_frames=int(tree["total_frames"]),
        features={str(name): _feature(entry) for name, entry in tree["features"].items()},
        data_path=str(tree["data_path"]),
        video_path=str(tree.get("video_path") or ""),
        chunks_size=int(tree.get("chunks_size", FILES_IN_CHUNK)),
    )


def _feature(entry: Mapping[str, Any]) -> Feature:
    shape = tuple(int(size) for size in entry["shape"])
    if entry["dtype"] in PICTURE_TYPES and len(shape) != 3:
        raise ValueError(f"pictures of shape {shape}")
    return Feature(str(entry["dtype"]), shape, _names(entry.get("names")), _is_depth(entry))


def _names(names: object) -> tuple[str, ...]:
    """The flat list of names; some datasets have it below a word: `{motors: [a, b]}`."""
    if isinstance(names, dict) and len(names) == 1:
        names = next(iter(names.values()))
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def _is_depth(entry: Mapping[str, Any]) -> bool:
    info = entry.get("info") or entry.get("video_info") or {}
    return bool(info.get("is_depth_map") or info.get("video.is_depth_map"))


def file_of(folder: Path, template: str, key: str, **values: str | int) -> Path:
    """The file that a path template of the head names.

    Args:
        key: of the head, for errors.
        values: for the template's placeholders.

    Raises:
        DataError: if the template asks for anything else, the path leaves the folder, or there is no such file.
    """
    where = f"{key} of {folder / INFO_FILE}"
    try:
        asked = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        if not asked <= _PLACEHOLDERS:
            raise DataError(f"{where} has the placeholder '{min(asked - _PLACEHOLDERS)}', which means nothing")
        name = template.format(**values)
    except (ValueError, KeyError) as error:
        raise DataError(f"{where} is no path template: {template!r} ({error})") from None
    return file_inside(folder, name, where)
