"""Tables of tiles with drawings by number, as the scene camera of `suite=emergence` sees them, and as others do.

    half of them   the very camera of the suite, and its table; the arm anywhere above it, a block in its fingers or not
    the others     another size, another place of the camera, a table of another tone

A picture is a function of the corpus's seed, the question's kind and number, and the concept. No robot episode has any
of these tables: their chance is another stream's. Nobody acts in them, and no action is told.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from vla_sim.corpus.studio_world import Look, StudioWorld
from vla_sim.tasks.emergence.referents import Concept
from vla_sim.tasks.emergence.tables import NUM_TILES, VIEW, draw_table, start_pose
from vla_sim.worlds.scene import BLOCK_SIZE_M, TILES_CAST, Kind, Scene, Thing
from vla_sim.worlds.tabletop import TABLE_RGBA
from vla_sim.worlds.variations import NO_VARIATION

SUITE_LOOK = Look(64, 80, VIEW.camera.azimuth_rad, VIEW.camera.elevation_rad, VIEW.camera.distance, TABLE_RGBA[:3])
"""The suite's own camera and table."""
SUITE_SHARE, REST_SHARE, AT_TILE_SHARE, HELD_SHARE = 0.5, 0.3, 0.45, 0.4
"""How often the look is the suite's; the arm is where an episode begins; it is at one of the tiles, any of them, which
it then hides in part; and a block is between its fingers if it is not where an episode begins."""
CLEAR_SHARE = 0.7
"""Of a tile that is seen so much, the drawing can be read."""
SIZES = ((64, 80), (96, 120), (128, 160))
_HAND_LOW, _HAND_HIGH = np.array([0.36, -0.2, 0.03, -0.4]), np.array([0.64, 0.2, 0.2, 0.4])
_AT_TILE_LOW, _AT_TILE_HIGH = np.array([-0.04, -0.04, 0.03, -0.3]), np.array([0.04, 0.04, 0.13, 0.3])
"""Where the tool centre point is when it is at a tile: x, y, z (m) from the tile's middle, yaw (rad)."""
_STREAM = 13


@dataclasses.dataclass(frozen=True)
class TilePicture:
    """A picture, and what is where in it."""

    image: UInt8[np.ndarray, "height width 3"]
    tiles: tuple[Thing, ...]
    """The first is the one that is to be asked about."""
    blocks: tuple[Thing, ...]
    shares: tuple[float, ...]
    """Of each tile that is seen."""
    places: dict[str, tuple[float, float]]
    """Where each thing's middle is seen, hidden or not, by name: row and column, as shares of height and width."""

    @property
    def is_told(self) -> bool:
        """Whether the first tile can be told from the others: itself is seen, or both others are."""
        return self.is_read or min(self.shares[1:]) >= CLEAR_SHARE

    @property
    def is_read(self) -> bool:
        """Whether the drawing on the first tile can be read."""
        return self.shares[0] >= CLEAR_SHARE


@functools.cache
def tile_world() -> StudioWorld:
    """The world of these pictures, one a process."""
    return StudioWorld(cast=TILES_CAST)


def tile_picture(key: Sequence[int], concept: Concept) -> TilePicture:
    """The picture of some numbers, its first tile to be called by the concept."""
    world = tile_world()
    stand(world, key, concept)
    image = world.picture()
    geoms = world.geoms_seen()
    scene = table_of(key, concept)[0]
    tiles = tuple(scene.of_kind(Kind.TILE))
    return TilePicture(
        image=image,
        tiles=tiles,
        blocks=tuple(scene.of_kind(Kind.BLOCK)),
        shares=tuple(_share(world, tile.name, geoms) for tile in tiles),
        places={thing.name: _place(world, thing.name) for thing in scene.things},
    )


def stand(world: StudioWorld, key: Sequence[int], concept: Concept) -> None:
    """Put a world where a picture was taken."""
    scene, look = table_of(key, concept)
    world.reset(scene)
    world.look(look)


def table_of(key: Sequence[int], concept: Concept) -> tuple[Scene, Look]:
    """The table of a picture, and how it is looked at."""
    generator = np.random.default_rng([_STREAM, *key, list(Concept).index(concept)])
    look = SUITE_LOOK if generator.random() < SUITE_SHARE else _other_look(generator)
    scene = dataclasses.replace(draw_table(generator, concept), variation=NO_VARIATION)
    return _with_hand(generator, scene), look


def _other_look(generator: np.random.Generator) -> Look:
    height, width = SIZES[int(generator.integers(len(SIZES)))]
    turn, rise = generator.uniform(-0.12, 0.12), generator.uniform(-0.1, 0.1)
    red, green, blue = (float(v) for v in generator.uniform(0.45, 0.85) * generator.uniform(0.92, 1.0, 3))
    return Look(
        height,
        width,
        SUITE_LOOK.turn + float(turn),
        SUITE_LOOK.rise + float(rise),
        SUITE_LOOK.distance * float(generator.uniform(0.97, 1.12)),
        (red, green, blue),
    )


def _with_hand(generator: np.random.Generator, scene: Scene) -> Scene:
    """The arm where an episode begins, at one of the tiles, or anywhere above the table."""
    where = generator.random()
    if where < REST_SHARE:
        return dataclasses.replace(scene, pose=start_pose(generator))
    pose = generator.uniform(_HAND_LOW, _HAND_HIGH)
    if where < REST_SHARE + AT_TILE_SHARE:
        tile = scene.of_kind(Kind.TILE)[int(generator.integers(NUM_TILES))]
        pose = np.array([tile.x, tile.y, 0.0, 0.0]) + generator.uniform(_AT_TILE_LOW, _AT_TILE_HIGH)
    if generator.random() >= HELD_SHARE:
        return dataclasses.replace(scene, pose=pose, gripper=float(generator.choice([0.0, 1.0, 1.0])))
    return dataclasses.replace(scene, things=_held(scene, pose), pose=pose, gripper=0.5)


def _held(scene: Scene, pose: Float64[np.ndarray, " pose"]) -> tuple[Thing, ...]:
    """The things, the first block between the fingers."""
    block = scene.of_kind(Kind.BLOCK)[0]
    x, y, z, yaw = (float(number) for number in pose)
    held = dataclasses.replace(block, x=x, y=y, yaw=yaw, z=max(0.0, z - BLOCK_SIZE_M / 2))
    return tuple(held if thing is block else thing for thing in scene.things)


def _share(world: StudioWorld, name: str, geoms: np.ndarray) -> float:
    """How much of a thing's outline is seen."""
    outline = cv2.convexHull(world.pixel(world.corners(name)).astype(np.float32))
    return float(world.mask(name, geoms).sum()) / max(1.0, float(cv2.contourArea(outline)))


def _place(world: StudioWorld, name: str) -> tuple[float, float]:
    column, row = world.pixel(world.position(name)[None])[0]
    return float(row) / world.look_of.height, float(column) / world.look_of.width
