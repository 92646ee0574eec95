"""The formats that can be imported, each found only when it is asked for: their packages are optional."""

from __future__ import annotations

import enum
from pathlib import Path

from vla.errors import DataError
from vla.libraries import require_library
from vla_datasets.exchange.raw_episode import SourceReader


class SourceFormat(enum.Enum):
    """What a foreign dataset is written as."""

    LEROBOT = "lerobot"
    """LeRobot v3.0 or v2.1: a folder."""
    HDF5 = "hdf5"
    """robomimic or LIBERO: a file, or a folder of files."""
    RLDS = "rlds"
    """Open X-Embodiment: the folder of one version of a TFDS dataset."""
    ZARR = "zarr"
    """Diffusion Policy: a replay buffer."""
    VIDEOS = "videos"
    """A folder of MP4 and JSONL."""


MODULES = {
    SourceFormat.LEROBOT: "vla_datasets.exchange.lerobot_reader",
    SourceFormat.HDF5: "vla_datasets.exchange.hdf5",
    SourceFormat.RLDS: "vla_datasets.exchange.rlds",
    SourceFormat.ZARR: "vla_datasets.exchange.replay_zarr",
    SourceFormat.VIDEOS: "vla_datasets.exchange.video_folder",
}
"""Each has `open_source(path) -> SourceReader`."""


def open_source(kind: SourceFormat, path: Path) -> SourceReader:
    """The dataset at `path`.

    Raises:
        ConfigError: if a package that the format needs is not installed.
        DataError: if there is nothing, or something else.
    """
    if not path.exists():
        raise DataError(f"there is nothing at source={path}")
    return require_library(MODULES[kind], what=f"format={kind.value}", extra="exchange").open_source(path)
