"""An embodiment as LeRobot's features, and as the columns of its data files: exactly these, or LeRobot refuses them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from vla.embodiment import CameraSpec, Embodiment
from vla_datasets.exchange import lerobot_format as layout
from vla_datasets.exchange.video_writer import GROUP_OF_PICTURES, PIXEL_FORMAT, VideoSettings

PICTURE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
"""An encoded picture in a row."""


def features(embodiment: Embodiment, videos: VideoSettings | None) -> dict[str, dict[str, Any]]:
    """The features of the dataset's head, by key.

    Args:
        videos: None if pictures lie in the data files.
    """
    found: dict[str, dict[str, Any]] = {
        layout.ACTION: _vector([field.name for field in embodiment.action]),
        layout.STATE: _vector([field.name for field in embodiment.proprioception]),
    }
    for camera in embodiment.cameras:
        feature: dict[str, Any] = {
            "dtype": "video" if videos else "image",
            "shape": [camera.height, camera.width, 3],
            "names": ["height", "width", "channels"],
        }
        if videos:
            feature["info"] = _video_info(camera, int(embodiment.control_hz), videos)
        found[layout.IMAGES_PREFIX + camera.name] = feature
    return found | layout.DEFAULT_FEATURES


def _vector(names: list[str]) -> dict[str, Any]:
    return {"dtype": "float32", "shape": [len(names)], "names": names}


def _video_info(camera: CameraSpec, fps: int, videos: VideoSettings) -> dict[str, Any]:
    return {
        "video.height": camera.height,
        "video.width": camera.width,
        "video.codec": videos.codec.value,
        "video.pix_fmt": PIXEL_FORMAT,
        "video.fps": fps,
        "video.channels": 3,
        "video.g": GROUP_OF_PICTURES,
        "video.crf": videos.quality,
        "has_audio": False,
        "is_depth_map": False,
    }


def arrow_schema(embodiment: Embodiment, *, is_filmed: bool) -> pa.Schema:
    """The columns of the data files."""
    columns: dict[str, pa.DataType] = {
        layout.ACTION: _vector_type(embodiment.action_dim),
        layout.STATE: _vector_type(embodiment.state_dim),
    }
    if not is_filmed:
        columns |= {layout.IMAGES_PREFIX + camera.name: PICTURE for camera in embodiment.cameras}
    for name, entry in layout.DEFAULT_FEATURES.items():
        columns[name] = pa.float32() if entry["dtype"] == "float32" else pa.int64()
    return pa.schema(columns)


def _vector_type(width: int) -> pa.DataType:
    """LeRobot keeps vectors of one number as plain numbers."""
    return pa.float32() if width == 1 else pa.list_(pa.float32(), width)
