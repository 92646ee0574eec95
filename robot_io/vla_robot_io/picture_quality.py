"""Whether a picture shows anything: a lens cap, a blinding lamp and a dead sensor give none that may be acted upon."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

DARK, BRIGHT = 8, 247
"""A picture whose brightest value is below the one, or darkest above the other, shows nothing."""
FLAT = 2
"""Nor does one whose values are all this near to each other."""
_EVERY = 4


def why_blank(image: UInt8[np.ndarray, "height width 3"]) -> str | None:
    """In a few words, if it shows nothing; every fourth pixel each way is looked at."""
    seen = image[::_EVERY, ::_EVERY]
    darkest, brightest = int(seen.min()), int(seen.max())
    if brightest < DARK:
        return "is black"
    if darkest > BRIGHT:
        return "is saturated"
    if brightest - darkest <= FLAT:
        return f"is of one colour, {darkest} to {brightest}"
    return None
