"""JSON that others wrote: of a bounded size, an object, and named when it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vla.errors import DataError

MAX_BYTES = 64 << 20


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        DataError: if the file is absent, longer than `MAX_BYTES`, or no JSON object.
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise DataError(f"{path} has {size} bytes, more than the {MAX_BYTES} that are read")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    return parse_object(content, str(path))


def parse_object(content: bytes | str, where: str) -> dict[str, Any]:
    """The JSON object that `content` is; NaN and infinities are refused, as JSON does.

    Raises:
        DataError: naming `where`.
    """
    try:
        value = json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise DataError(f"{where} is a JSON {type(value).__name__}, expected an object")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}")
