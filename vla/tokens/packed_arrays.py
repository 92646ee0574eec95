"""Arrays of numbers inside JSON: little-endian float32, row after row, as base64, beside their shape.

{"shape": [2, 3], "float32": "AACAPwAAAEAAAEBA..."}
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Float32


def pack(array: Float[np.ndarray, "*shape"]) -> dict[str, object]:
    """The array as JSON, rounded to float32."""
    raw = np.ascontiguousarray(array, "<f4").tobytes()
    return {"shape": list(array.shape), "float32": base64.b64encode(raw).decode("ascii")}


def unpack(tree: Mapping[str, Any], *shape: int) -> Float32[np.ndarray, "*shape"]:
    """The array that `pack` wrote.

    Args:
        shape: that it must have; -1 where any length will do.

    Raises:
        ValueError: if it is not whole, not finite, or of another shape.
    """
    stored = tuple(int(length) for length in tree["shape"])
    if len(stored) != len(shape) or any(want not in (-1, got) for want, got in zip(shape, stored, strict=True)):
        raise ValueError(f"expected an array of shape {shape}, got {stored}")
    raw = base64.b64decode(tree["float32"], validate=True)
    if min(stored, default=0) < 0 or len(raw) != 4 * math.prod(stored):
        raise ValueError(f"an array of shape {stored} takes {4 * math.prod(stored)} bytes, got {len(raw)}")
    array = np.frombuffer(raw, "<f4").reshape(stored).astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"an array of shape {stored} is not finite")
    return array
