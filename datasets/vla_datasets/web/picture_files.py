"""Pictures and JSON files beside each other in a folder that others made; nothing outside of the folder is read."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vla.errors import DataError
from vla_datasets.web.pictures import MAX_PIXELS, decode_picture


def check_inside(folder: Path, name: str, where: str) -> None:
    """Return if `name` is a path that stays in the folder, as it is written; links are looked at when it is read.

    Args:
        where: what names the picture, for errors.

    Raises:
        DataError: naming the path.
    """
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name or "\\" in name:
        raise DataError(f"{where} names a picture outside of {folder}: '{name}'")


def read_picture(folder: Path, name: str, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "height width 3"]:
    """The picture at a relative path in a folder, as RGB.

    Raises:
        DataError: if it lies outside the folder, where links lead to as well; is missing, too large or damaged.
    """
    check_inside(folder, name, str(folder))
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{path} is a link to a file outside of {folder}: it is not read")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return decode_picture(content, str(path), max_pixels)


def read_json(path: Path) -> Any:
    """The value in a JSON file; it is read whole.

    Raises:
        DataError: if it is missing or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {str(error)[:120]}") from None
