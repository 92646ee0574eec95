"""Drawn scenes: pictograms in plain colours on light paper, none touching another, and where exactly each of them is.

What stands on a tile (a digit) is cut out of it: the tile is then what is found and pointed to.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from vla_sim.corpus.concepts import NUMBERS
from vla_sim.corpus.stencils import num_variants, stencil
from vla_sim.corpus.tabletop_pictures import deepest
from vla_sim.worlds.scene import COLOURS

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "green": (36, 150, 66),
    "blue": (38, 84, 214),
    "yellow": (240, 196, 20),
    "purple": (140, 52, 176),
    "orange": (242, 122, 18),
    "black": (28, 28, 32),
}
"""sRGB of what is drawn; the first five are the colours of things on the table."""
assert set(COLOURS) < set(PALETTE)
SIZES = ((96, 120), (128, 128), (128, 160), (224, 224))
"""Height and width of drawings, px."""
MIN_SIDE, MIN_DIGIT_SIDE, MIN_TILE_SIDE = 24, 30, 42
"""Of a pictogram, a digit, a tile with a digit, px: smaller ones cannot be told apart."""
_GAP = 3
_NUM_TRIES = 200
_COVERED = 128


@dataclasses.dataclass(frozen=True)
class Item:
    """A pictogram that is to be drawn."""

    name: str
    """What it shows: `star`, `three`, `apple`, `arrow left`."""
    colour: str
    is_tile: bool = False
    """Whether it is cut out of a tile of its colour."""

    @property
    def words(self) -> str:
        """`red star`; a digit is `red three`."""
        return f"{self.colour} {self.name}"


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A pictogram on paper."""

    item: Item
    box: tuple[int, int, int, int]
    """Top, left, bottom, right of what is covered by half and more; the last two are one past it, px."""
    point: tuple[int, int]
    """Row and column of the covered pixel deepest inside."""

    @property
    def middle(self) -> tuple[float, float]:
        """Column and row, px."""
        return (self.box[1] + self.box[3]) / 2, (self.box[0] + self.box[2]) / 2


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A picture, and what is in it."""

    image: UInt8[np.ndarray, "height width 3"]
    drawn: tuple[Drawn, ...]

    def facts(self) -> list[dict[str, object]]:
        """What was drawn where, as JSON."""
        return [{"name": d.item.name, "colour": d.item.colour, "box_px": list(d.box)} for d in self.drawn]


@dataclasses.dataclass(frozen=True)
class Place:
    """A square for one pictogram, px."""

    row: int
    column: int
    side: int


@dataclasses.dataclass(frozen=True)
class Sheet:
    """Paper before anything is on it."""

    height: int
    width: int
    tone: tuple[int, int, int]

    @staticmethod
    def draw(generator: np.random.Generator, *, is_large: bool = False) -> Sheet:
        """Any paper, or one of the larger ones."""
        sizes = SIZES[1:] if is_large else SIZES
        height, width = sizes[int(generator.integers(len(sizes)))]
        red, green, blue = (int(value) for value in generator.integers(222, 251, 3))
        return Sheet(height, width, (red, green, blue))


def draw_items(
    generator: np.random.Generator, items: Sequence[Item], sheet: Sheet, places: Sequence[Place] | None = None
) -> Drawing:
    """The items on paper, each in a place of its own.

    Args:
        places: one for each item; random ones if not given.

    Raises:
        RuntimeError: if there is no room.
    """
    where = scatter(generator, sheet, [least_side(item) for item in items]) if places is None else places
    image = np.empty((sheet.height, sheet.width, 3), np.uint8)
    image[:] = sheet.tone
    drawn = [_stamp(generator, image, item, place) for item, place in zip(items, where, strict=True)]
    return Drawing(image, tuple(drawn))


def least_side(item: Item) -> int:
    """Of the square that an item is drawn into, px."""
    if item.is_tile:
        return MIN_TILE_SIDE
    return MIN_DIGIT_SIDE if item.name in NUMBERS else MIN_SIDE


def scatter(generator: np.random.Generator, sheet: Sheet, least: Sequence[int]) -> list[Place]:
    """Squares that do not touch, of different sizes; side by side where chance finds no room.

    Args:
        least: the least side of each, px.

    Raises:
        RuntimeError: if there is no room.
    """
    for _ in range(_NUM_TRIES):
        places: list[Place] = []
        largest = int(min(sheet.height, sheet.width) / (1.1 + 0.67 * math.sqrt(len(least))))
        for _ in range(60):
            if len(places) == len(least):
                return places
            low = least[len(places)]
            side = int(generator.integers(low, max(low, largest) + 1))
            row = int(generator.integers(_GAP, sheet.height - side - _GAP))
            column = int(generator.integers(_GAP, sheet.width - side - _GAP))
            if all(_apart(Place(row, column, side), place) for place in places):
                places.append(Place(row, column, side))
    return _side_by_side(sheet, least)


def _side_by_side(sheet: Sheet, least: Sequence[int]) -> list[Place]:
    """Squares of one size in rows."""
    side = max(least)
    per_row = (sheet.width - _GAP) // (side + _GAP)
    if _GAP + -(-len(least) // max(1, per_row)) * (side + _GAP) > sheet.height or per_row < 1:
        raise RuntimeError(f"there is no room for {len(least)} pictograms on {sheet.height} x {sheet.width} px")
    pitch = side + _GAP
    return [Place(_GAP + i // per_row * pitch, _GAP + i % per_row * pitch, side) for i in range(len(least))]


def _apart(one: Place, other: Place) -> bool:
    return (
        one.row + one.side + _GAP <= other.row
        or other.row + other.side + _GAP <= one.row
        or one.column + one.side + _GAP <= other.column
        or other.column + other.side + _GAP <= one.column
    )


def _stamp(generator: np.random.Generator, image: np.ndarray, item: Item, place: Place) -> Drawn:
    """Draw one item into the picture."""
    name = item.name
    cover = _scaled(stencil(name, int(generator.integers(num_variants(name)))), place.side)
    if item.is_tile:
        cover = _on_tile(cover, place.side)
    height, width = cover.shape
    row, column = place.row + (place.side - height) // 2, place.column + (place.side - width) // 2
    patch = image[row : row + height, column : column + width]
    amount = cover[:, :, None].astype(np.float32) / 255
    patch[:] = np.rint(patch * (1 - amount) + np.array(PALETTE[item.colour], np.float32) * amount).astype(np.uint8)
    covered = cover >= _COVERED
    rows, columns = np.nonzero(covered.any(1))[0], np.nonzero(covered.any(0))[0]
    inner = deepest(covered)
    return Drawn(
        item,
        (row + int(rows[0]), column + int(columns[0]), row + int(rows[-1]) + 1, column + int(columns[-1]) + 1),
        (row + inner[0], column + inner[1]),
    )


def _scaled(cover: np.ndarray, side: int) -> np.ndarray:
    """As large as fits into a square."""
    factor = side / max(cover.shape)
    height, width = (max(1, round(length * factor)) for length in cover.shape)
    return cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA)


def _on_tile(cover: np.ndarray, side: int) -> np.ndarray:
    """A tile with the pictogram cut out."""
    tile = np.full((side, side), 255, np.uint8)
    inner = _scaled(cover, round(side * 0.66))
    top, left = (side - inner.shape[0]) // 2, (side - inner.shape[1]) // 2
    tile[top : top + inner.shape[0], left : left + inner.shape[1]] -= inner
    return tile
