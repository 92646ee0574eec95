"""`vla data export`: a store as a dataset that others read; it appears under its name when it is whole and compared.

store ─► staging folder ─► read back and compared with the store ─► out=DIR
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from omegaconf import MISSING
from rich.console import Console
from rich.progress import track

from vla import cli
from vla.errors import DataError
from vla.interfaces import Episode
from vla.libraries import require_library
from vla_datasets.exchange.staged_folder import staged_folder
from vla_datasets.exchange.video_writer import VideoCodec, VideoSettings
from vla_datasets.store import EpisodeStore

if TYPE_CHECKING:
    from vla_datasets.exchange.picture_errors import PictureErrors

DEFAULT_QUALITY = {VideoCodec.H264: 18, VideoCodec.AV1: 25}
ERRORS_FILE = "meta/vla/picture_errors.json"


class ExportFormat(enum.Enum):
    """What can be written."""

    LEROBOT = "lerobot"


class Pictures(enum.Enum):
    """How pictures are kept."""

    PNG = "png"
    """In the data files, bit for bit."""
    VIDEO = "video"
    """As films: far smaller, and slightly wrong; how wrong is measured and said."""


@dataclasses.dataclass
class ExportConfig:
    """Write a store as a LeRobot dataset v3.0, read it back, and compare.

    Example: vla data export format=lerobot data=data/tabletop out=out/tabletop_lerobot pictures=video
    """

    format: ExportFormat = MISSING
    """What to write."""
    data: str = MISSING
    """Episode store."""
    out: Path = MISSING
    """The folder to write; must not be there yet."""
    pictures: Pictures = Pictures.PNG
    """How pictures are kept: bit for bit, or as films."""
    codec: VideoCodec = VideoCodec.H264
    """Of films."""
    quality: int | None = None
    """Of films: constant rate factor, less is better and larger; 18 for h264 and 25 for av1 if not given."""


def main(arguments: Sequence[str]) -> int:
    """Run `vla data export`; the exit status."""
    return cli.run("data export", ExportConfig, export_data, arguments)


def export_data(config: ExportConfig) -> int:
    """Export every episode of the store; 0.

    Raises:
        VlaError: if the store cannot be read or LeRobot cannot hold it; nothing is at `out` then.
    """
    require_library("pyarrow", what=f"format={config.format.value}", extra="exchange")
    store = EpisodeStore.open(config.data)
    with staged_folder(config.out) as folder:
        _write(store, folder, _settings(config))
        errors = _compare(store, folder, must_be_equal=config.pictures is Pictures.PNG)
        (folder / ERRORS_FILE).write_text(json.dumps(errors.to_json(), indent=1) + "\n", encoding="utf-8")
    print(f"{config.out}: {len(store)} episodes, read back: numbers and words are equal")
    for line in errors.lines():
        print(line)
    return 0


def _settings(config: ExportConfig) -> VideoSettings | None:
    if config.pictures is Pictures.PNG:
        return None
    return VideoSettings(config.codec, DEFAULT_QUALITY[config.codec] if config.quality is None else config.quality)


def _write(store: EpisodeStore, folder: Path, settings: VideoSettings | None) -> None:
    from vla_datasets.exchange.lerobot_writer import LeRobotWriter

    writer = LeRobotWriter(folder, store.embodiment, settings)
    for key in track(store.keys(), "writing", console=Console(stderr=True)):
        writer.append(store.read(key))
    writer.close(dict(store.metadata))


def _compare(store: EpisodeStore, folder: Path, *, must_be_equal: bool) -> PictureErrors:
    """Return the error of the pictures, if all else that the folder gives back is what the store holds."""
    from vla_datasets.exchange.lerobot_reader import open_source
    from vla_datasets.exchange.lerobot_sidecar import open_sidecar
    from vla_datasets.exchange.picture_errors import PictureErrors

    reader, sidecar, errors = open_source(folder), open_sidecar(folder), PictureErrors()
    assert sidecar is not None
    pairs = zip(store.keys(), reader, strict=True)
    for key, raw in track(pairs, "comparing", total=len(store), console=Console(stderr=True)):
        expected, got = store.read(key), sidecar.episode(raw)
        if not equal_but_pictures(expected, got):
            raise DataError(f"episode {key} does not come back from the export as it was: report this")
        errors.add(expected, got)
    if must_be_equal and not errors.are_zero:
        raise DataError("pictures do not come back from PNG as they were: report this")
    return errors


def equal_but_pictures(one: Episode, other: Episode) -> bool:
    """Whether two episodes agree in every bit of every number and word."""
    words = [field.name for field in dataclasses.fields(Episode) if field.name not in (*_ARRAYS, "images", "labels")]
    return (
        all(getattr(one, name) == getattr(other, name) for name in words)
        and all(_same_bits(getattr(one, name), getattr(other, name)) for name in _ARRAYS)
        and one.labels.keys() == other.labels.keys()
        and all(_same_bits(one.labels[name], other.labels[name]) for name in one.labels)
    )


_ARRAYS = ("proprioception", "actions", "times_s")


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
