"""Random tables of three tiles and two blocks, and where the camera stands.

The work area has six cells, in each of which something may stand, a little off its middle:

           arm
    ┌─────┬─────┬─────┐  x = 0.365
    │     │     │     │
    ├─────┼─────┼─────┤
    │     │     │     │
    └─────┴─────┴─────┘  x = 0.665
    y = -0.225     y = 0.225
          camera

So tiles are large enough to be read, and nothing stands on them when an episode begins. The camera looks down more
steeply than that of `tabletop`, straight towards the arm: drawings are upright in its picture.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64

from vla_sim.corpus.concepts import CATEGORIES
from vla_sim.tasks.emergence.referents import Concept
from vla_sim.worlds.scene import COLOURS, Kind, Scene, Thing
from vla_sim.worlds.tabletop import SCENE_CAMERA_POSITION, SCENE_CAMERA_TARGET
from vla_sim.worlds.tile_drawings import DIGITS, DRAWINGS, EMBLEMS, SYMBOLS
from vla_sim.worlds.variations import CameraShift, Variation

NUM_TILES, NUM_BLOCKS = 3, 2
ROWS_M, COLUMNS_M = (0.44, 0.59), (-0.15, 0.0, 0.15)
TILE_JITTER_M, BLOCK_JITTER_M = 0.012, 0.028
MAX_YAW_RAD = 0.3
START_LOW = np.array([0.38, -0.12, 0.15, -0.2])
START_HIGH = np.array([0.46, 0.12, 0.21, 0.2])
"""Where the tool centre point starts: x, y, z (m), yaw (rad); high, and near the arm, so that it hides little."""

_OFFSET = SCENE_CAMERA_POSITION - SCENE_CAMERA_TARGET
VIEW = Variation(camera=CameraShift(-math.atan2(_OFFSET[1], _OFFSET[0]), 0.3, 0.88))
"""The camera opposite the arm."""
FAMILIES = (DIGITS, SYMBOLS, EMBLEMS, DRAWINGS)
"""What the tiles of a table are drawn from, where the concept does not say."""


def draw_table(generator: np.random.Generator, concept: Concept) -> Scene:
    """A scene: its first tile can be called by the concept, and so can the others, but otherwise."""
    drawings = draw_drawings(generator, concept)
    colours = [str(colour) for colour in generator.permutation(list(COLOURS))]
    cells = draw_cells(generator, concept)
    tiles = [
        tile_at(generator, cell, colour, drawing)
        for cell, colour, drawing in zip(cells, colours, drawings, strict=False)
    ]
    blocks = [str(colour) for colour in generator.permutation(list(COLOURS))[:NUM_BLOCKS]]
    things = [block_at(generator, cell, colour) for cell, colour in zip(cells[NUM_TILES:], blocks, strict=False)]
    return Scene((*tiles, *things), start_pose(generator), gripper=1.0, variation=VIEW)


def draw_drawings(generator: np.random.Generator, concept: Concept) -> list[str]:
    """What is on the tiles: no two the same, and no two of one category where categories are asked for."""
    family: tuple[str, ...]
    match concept:
        case Concept.DIGIT:
            family = DIGITS
        case Concept.SUM:
            family = DIGITS[1:]
        case Concept.SYMBOL:
            family = SYMBOLS
        case Concept.CATEGORY:
            groups = [[e for e in EMBLEMS if e in members] for members in CATEGORIES.values()]
            chosen = [groups[int(index)] for index in generator.permutation(len(groups))[:NUM_TILES]]
            return [members[int(generator.integers(len(members)))] for members in chosen]
        case Concept.COLOUR | Concept.RELATION | Concept.SYNONYM:
            family = FAMILIES[int(generator.integers(len(FAMILIES)))]
    return [family[int(index)] for index in generator.permutation(len(family))[:NUM_TILES]]


def draw_cells(generator: np.random.Generator, concept: Concept) -> list[tuple[float, float]]:
    """The middles of all cells, those of the tiles first; each in a column of its own where places are asked for."""
    cells = [(x, y) for x in ROWS_M for y in COLUMNS_M]
    order = [cells[int(index)] for index in generator.permutation(len(cells))]
    if concept is not Concept.RELATION:
        return order
    first: dict[float, tuple[float, float]] = {}
    for cell in order:
        first.setdefault(cell[1], cell)
    tiles = list(first.values())
    return [*tiles, *(cell for cell in order if cell not in tiles)]


def tile_at(generator: np.random.Generator, cell: tuple[float, float], colour: str, drawing: str) -> Thing:
    """A tile in a cell."""
    x, y = np.array(cell) + generator.uniform(-1, 1, 2) * TILE_JITTER_M
    return Thing(Kind.TILE, colour, float(x), float(y), drawing=drawing)


def block_at(generator: np.random.Generator, cell: tuple[float, float], colour: str) -> Thing:
    """A block in a cell."""
    x, y = np.array(cell) + generator.uniform(-1, 1, 2) * BLOCK_JITTER_M
    return Thing(Kind.BLOCK, colour, float(x), float(y), float(generator.uniform(-1, 1)) * MAX_YAW_RAD)


def start_pose(generator: np.random.Generator) -> Float64[np.ndarray, " pose"]:
    """Where the arm begins."""
    return generator.uniform(START_LOW, START_HIGH)
