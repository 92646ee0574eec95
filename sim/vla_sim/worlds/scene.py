"""What stands on the table when an episode begins.

The table's top is z = 0 of the base frame, x points away from the arm's base, y to its left:

          camera
      ┌───────────┐  x = 0.66
      │   work    │
      │   area    │
      └───────────┘  x = 0.36
     y=0.22  arm  y=-0.22
"""

from __future__ import annotations

import dataclasses
import enum

import numpy as np
from jaxtyping import Float64

from vla_sim.worlds.variations import NO_VARIATION, Variation


class Kind(enum.Enum):
    """What a thing is."""

    BLOCK = "block"
    PAD = "pad"
    BOWL = "bowl"
    BUTTON = "button"
    DRAWER = "drawer"
    CYLINDER = "cylinder"
    PRISM = "prism"
    """With six sides."""
    BALL = "ball"
    PLATE = "plate"
    CUP = "cup"
    """A square box upside down, which hides what is below it."""
    TILE = "tile"
    """A card with a drawing on it in a coloured frame, seen and not felt."""


CARRIED = frozenset({Kind.BLOCK, Kind.CYLINDER, Kind.PRISM, Kind.BALL})
"""What the gripper can take: as wide and as high as a block."""

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.09, 0.09),
    "green": (0.08, 0.62, 0.18),
    "blue": (0.08, 0.28, 0.92),
    "yellow": (0.98, 0.80, 0.04),
    "purple": (0.56, 0.12, 0.72),
}
"""Linear RGB of every colour that a thing has in `tabletop`."""
MORE_COLOURS: dict[str, tuple[float, float, float]] = {
    "pink": (0.98, 0.42, 0.66),
    "brown": (0.30, 0.14, 0.05),
    "cyan": (0.10, 0.78, 0.86),
    "white": (0.98, 0.98, 0.98),
}
"""Of things that other suites have."""
PALETTE = COLOURS | MORE_COLOURS

CAPACITY: dict[Kind, int] = {Kind.BLOCK: 4, Kind.PAD: 3, Kind.BOWL: 2, Kind.BUTTON: 2, Kind.DRAWER: 1}
"""How many of each kind a scene of `tabletop` can hold."""


@dataclasses.dataclass(frozen=True)
class Cast:
    """The things that a compiled model holds; each scene shows some of them."""

    name: str
    capacity: tuple[tuple[Kind, int], ...]
    """How many of each kind."""

    def number(self, kind: Kind) -> int:
        """How many of a kind there are."""
        return dict(self.capacity).get(kind, 0)


TABLETOP_CAST = Cast("tabletop", tuple(CAPACITY.items()))
SHAPES_CAST = Cast(
    "shapes",
    (
        (Kind.BLOCK, 4),
        (Kind.PAD, 3),
        (Kind.BOWL, 1),
        (Kind.CYLINDER, 3),
        (Kind.PRISM, 2),
        (Kind.BALL, 2),
        (Kind.PLATE, 2),
    ),
)
"""With more shapes, and without button and drawer."""
COVERS_CAST = Cast("covers", (*CAPACITY.items(), (Kind.CUP, 3)))
"""With cups to hide things."""
TILES_CAST = Cast("tiles", ((Kind.BLOCK, 4), (Kind.TILE, 4)))
"""Blocks, and tiles with drawings."""

WORKSPACE_LOW = np.array([0.31, -0.28, 0.012, -1.2])
WORKSPACE_HIGH = np.array([0.70, 0.28, 0.30, 1.2])
"""The box that the commanded pose (x, y, z, yaw) stays in: m, m, m, rad."""
LEASH = np.array([0.05, 0.05, 0.05, 0.3])
"""How far the commanded pose may be ahead of the measured one, when something is in the way: m, m, m, rad."""

BLOCK_SIZE_M = 0.044
PAD_SIZE_M = 0.09
PLATE_RADIUS_M = 0.05
BOWL_RADIUS_M = 0.052
"""Of the bowl's floor."""
BOWL_HEIGHT_M = 0.03
BUTTON_RADIUS_M = 0.024
BUTTON_TOP_M = 0.036
"""Height of the cap when it is not pressed."""
BUTTON_TRAVEL_M = 0.012
BUTTON_LATCHED_M = 0.0085
"""Pressed as far as this, a button that latches goes down by itself, and stays there."""
DRAWER_TRAVEL_M = 0.12
CUP_SIZE_M = 0.058
"""Outer edge of a cup, which is square and stands upside down."""
CUP_HEIGHT_M = 0.054
CUP_GRASP_M = 0.03
"""Height at which the fingers take it."""
SEEN_STEPS, CLOSING_STEPS, SHOWN_STEPS = 6, 5, 20
"""Where a scene is shown first: control steps in which everything is seen; in which cups come down and a drawer shuts;
and after which the arm may act. What is left between lets chunks run out that were begun in sight of it."""
TILE_SIZE_M = 0.125
"""Outer edge of a tile's frame."""
CARD_SIZE_M = 0.102
"""Edge of the white card in it, which bears the drawing."""
HANDLE_OFFSET_M = np.array([0.082, 0.0, 0.056])
"""From the cabinet's origin to the middle of the closed drawer's handle."""


@dataclasses.dataclass(frozen=True)
class Thing:
    """One thing and where it stands."""

    kind: Kind
    colour: str
    """A key of `PALETTE`; empty for the drawer, which is of wood; `first`, `second`, `third` for cups, all alike."""
    x: float
    y: float
    yaw: float = 0.0
    z: float = 0.0
    """Height of what it stands on: m."""
    is_inside: bool = False
    """Whether it lies in the drawer, and moves with it while that shuts; its place is that in the shut drawer."""
    drawing: str = ""
    """What is drawn on a tile: one of `vla_sim.worlds.tile_drawings.DRAWINGS`; other things bear none."""

    @property
    def name(self) -> str:
        """`red block`, `blue pad`, `drawer`: unique in a scene."""
        return f"{self.colour} {self.kind.value}".strip()


@dataclasses.dataclass(frozen=True)
class Scene:
    """How an episode begins."""

    things: tuple[Thing, ...]
    pose: Float64[np.ndarray, " pose"]
    """Of the tool centre point: x, y, z (m), yaw (rad)."""
    gripper: float
    """Opening as a ratio: 0 closed, 1 open."""
    variation: Variation = NO_VARIATION
    """What is otherwise than usual."""
    latching: bool = False
    """Whether a button that was pressed stays down."""
    is_shown: bool = False
    """Whether the scene is shown open for `SEEN_STEPS`, then covered, before the arm may act."""

    def of_kind(self, kind: Kind) -> list[Thing]:
        return [thing for thing in self.things if thing.kind is kind]
