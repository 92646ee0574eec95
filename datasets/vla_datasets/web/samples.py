"""One image-text sample, and what every corpus of them can do.

Places in a picture are words: a point is `<loc0123><loc0456>` (row, then column, in 1024 steps of the picture's height
and width), a box two of them (top left, bottom right), as PaliGemma writes them (Beyer et al. 2024, arXiv:2407.07726).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

LOCATION_STEPS = 1024


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
