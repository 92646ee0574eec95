"""One image-text sample, and what every corpus of them can do.

Places in a picture are words: a point is `<loc0123><loc0456>` (row, then column, in 1024 steps of the picture's height
and width), a box two of them (top left, bottom right), as PaliGemma writes them (Beyer et al. 2024, arXiv:2407.07726).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from vla.errors import DataError

LOCATION_STEPS = 1024

PLACES = re.compile(r"(?:<loc\d+>)+")
"""Location words that follow each other without a gap: one place."""

_LOCATION = re.compile(r"<loc(\d+)>")


@dataclasses.dataclass(frozen=True)
class WebSample:
    """A question about some pictures, or about none, and its answer."""

    images: tuple[UInt8[np.ndarray, "height width 3"], ...]
    """RGB; none for text alone, two for a difference."""
    question: str
    """What the model is asked; the prompt of a caption too (`caption en`)."""
    answer: str
    kind: str
    """`caption`, `vqa`, `count`, `relation`, `arithmetic`, `point`, `box`, `difference`, `refusal`, `robot`, ..."""
    licence: str
    """Never empty: an SPDX identifier where there is one."""
    source: str
    """Corpus and number, so that the sample can be found again: `coco:000000391895`."""
    scene: str = ""
    """Equal for samples of one picture or scene: a split keeps these together."""
    facts: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """What is true in the picture, where that is known (JSON values): for checks, never shown to a model."""


@runtime_checkable
class WebCorpus(Protocol):
    """Samples by number. Random access is cheap, so that a mixture can go on from any sample."""

    @property
    def name(self) -> str: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> WebSample:
        """Sample `index`.

        Raises:
            IndexError: beyond the last.
            DataError: naming the file or member that is missing or damaged.
        """
        ...


def location_words(*shares: float) -> str:
    """A point (row, column) or a box (top, left, bottom, right) as words.

    A share is of the picture's height or width, 0 at the top or left; one outside 0..1 is brought to the edge.

    Raises:
        DataError: if there are neither two nor four shares, or one is not a number.
    """
    if len(shares) not in (2, 4) or not np.isfinite(shares).all():
        raise DataError(f"a point has two shares and a box four, all of them numbers; got {shares}")
    steps = (min(max(int(share * LOCATION_STEPS), 0), LOCATION_STEPS - 1) for share in shares)
    return "".join(f"<loc{step:04d}>" for step in steps)


def parse_locations(text: str) -> list[tuple[float, ...]]:
    """Every point and box in a text, as shares of the picture's height and width: the middle of each step.

    Words that follow each other without a gap are one place: two a point, four a box.

    Raises:
        DataError: if a place has another number of words, or a word is not one of the 1024.
    """
    return [_place(run.group()) for run in PLACES.finditer(text)]


def _place(words: str) -> tuple[float, ...]:
    digits = _LOCATION.findall(words)
    if len(digits) not in (2, 4):
        raise DataError(f"two location words are a point and four a box, got {len(digits)}: {words[:80]}")
    if any(len(number) != 4 or int(number) >= LOCATION_STEPS for number in digits):
        raise DataError(f"location words are <loc0000> to <loc{LOCATION_STEPS - 1}>, got {words[:80]}")
    return tuple((int(number) + 0.5) / LOCATION_STEPS for number in digits)
