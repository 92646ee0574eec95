"""What is in a drawing, found again in its pixels: pieces, their colours, and what they look most like."""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from vla_sim.corpus.concepts import NUMBERS
from vla_sim.corpus.drawings import PALETTE
from vla_sim.corpus.items import PICTOGRAMS
from vla_sim.corpus.stencils import ARROWS, num_variants, stencil

_SIDE = 40
_FAINT = 0.5
"""Of the way from paper to colour: what is less is paper."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """One pictogram as it was recognised."""

    name: str
    colour: str
    mask: Bool[np.ndarray, "height width"]
    """In the whole picture; of a tile with its digit filled in."""
    is_tile: bool

    @property
    def words(self) -> str:
        return f"{self.colour} {self.name}"

    @property
    def middle(self) -> tuple[float, float]:
        """Row and column of the middle of its box, px."""
        rows, columns = _box(self.mask)
        return (rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2


def pieces(image: UInt8[np.ndarray, "height width 3"]) -> list[Piece]:
    """Everything in a drawing, from left to right."""
    paper = image[0, 0].astype(np.float32)
    off = np.abs(image.astype(np.float32) - paper).max(-1)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats((off > 24).astype(np.uint8), connectivity=8)
    for island, inside in _enclosed(boxes[1:, :4]):
        labels[labels == island + 1] = inside + 1
    found = [_piece(image, paper, labels == label) for label in np.unique(labels) if label > 0]
    return sorted(found, key=lambda piece: piece.middle[1])


def _enclosed(boxes: np.ndarray) -> list[tuple[int, int]]:
    """Which regions lie in the box of another: the inner parts of digits that are cut out of tiles.

    Args:
        boxes: left, top, width, height of each region, px.
    """
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    pairs = [(i, j) for i in range(len(boxes)) for j in range(len(boxes)) if i != j]
    return [(i, j) for i, j in pairs if (low[i] >= low[j]).all() and (high[i] <= high[j]).all()]


def _piece(image: np.ndarray, paper: np.ndarray, region: np.ndarray) -> Piece:
    colour = _colour(image[region], paper)
    direction = np.array(PALETTE[colour], np.float32) - paper
    cover = np.clip(((image.astype(np.float32) - paper) @ direction) / float(direction @ direction), 0, 1) * region
    mask = cover >= _FAINT
    shown = cover[_box(mask)]
    edges = (shown[0], shown[-1], shown[:, 0], shown[:, -1])
    if not all((edge >= _FAINT).all() for edge in edges):
        return Piece(_most_alike(shown, None), colour, mask, False)
    holes = 1 - shown
    return Piece(_most_alike(holes[_box(holes >= _FAINT)], NUMBERS[:10]), colour, mask, True)


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _colour(pixels: np.ndarray, paper: np.ndarray) -> str:
    """Of the pixels that differ most from the paper."""
    distance = np.abs(pixels.astype(np.float32) - paper).sum(-1)
    strong = np.median(pixels[distance >= np.quantile(distance, 0.6)], axis=0)
    return min(PALETTE, key=lambda name: float(np.abs(strong - np.array(PALETTE[name])).sum()))


def _most_alike(crop: np.ndarray, names: tuple[str, ...] | None) -> str:
    """The name of the reference that covers the same pixels, in the same proportions."""
    shown = cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel()
    known, ratios, covers = _references()
    unlike = np.abs(np.log(crop.shape[0] / crop.shape[1]) - ratios)
    scores = np.minimum(covers, shown).sum(1) / np.maximum(covers, shown).sum(1) - 0.5 * unlike
    order = np.argsort(-scores)
    return next(known[i] for i in order if names is None or known[i] in names)


@functools.cache
def _references() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, logarithms of height over width, and covers of all pictograms."""
    names = [*NUMBERS[:10], *PICTOGRAMS, *(f"arrow {way}" for way in ARROWS)]
    known = [(name, stencil(name, variant)) for name in names for variant in range(num_variants(name))]
    ratios = np.array([np.log(cover.shape[0] / cover.shape[1]) for _, cover in known])
    covers = [cv2.resize(c.astype(np.float32) / 255, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for _, c in known]
    return [name for name, _ in known], ratios, np.stack([cover.ravel() for cover in covers])
