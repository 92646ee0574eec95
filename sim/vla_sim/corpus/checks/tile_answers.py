"""Answers about tiles, worked out from MuJoCo's model: the colours of frames, the materials of cards, and the camera.

A point is followed back from the camera to the table: it has to come down on the middle of the one tile, or of the one
block, that the words mean.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import mujoco
import numpy as np
from jaxtyping import Float64

from vla_datasets.web.samples import WebSample, parse_locations
from vla_sim.corpus.concepts import COLOUR_SYNONYMS, KIND_SYNONYMS
from vla_sim.corpus.studio_world import StudioWorld
from vla_sim.corpus.tile_pictures import stand
from vla_sim.tasks.emergence.referents import Concept, denote, read
from vla_sim.worlds.scene import COLOURS
from vla_sim.worlds.tile_drawings import drawing_of

NEAR_M = 0.01
"""As near to a thing's middle does a point come down."""
_FAR_M = 1.5
_PLAIN = {word: plain for group in (COLOUR_SYNONYMS, KIND_SYNONYMS) for plain, words in group.items() for word in words}

type Slots = dict[str, str]


@dataclasses.dataclass(frozen=True)
class SeenTile:
    """A tile as the model has it."""

    colour: str
    drawing: str
    position: Float64[np.ndarray, " xyz"]

    @property
    def y(self) -> float:
        return float(self.position[1])


@dataclasses.dataclass(frozen=True)
class TileEvidence:
    """All that is known of one picture."""

    tiles: tuple[SeenTile, ...]
    blocks: dict[str, Float64[np.ndarray, " xyz"]]
    """Middles by colour."""
    strike: Callable[[tuple[float, ...], float], Float64[np.ndarray, " xyz"]]
    """Where the line from the camera through a point (row, column, as shares) reaches a height."""


def is_right(world: StudioWorld, sample: WebSample, key: tuple[int, ...], ask: str, slots: Slots) -> bool:
    """Whether the picture is as it is said to be, and the answer to the question right.

    Args:
        key: the numbers of the picture.
    """
    stand(world, key, Concept(str(sample.facts["concept"])))
    if len(sample.images) != 1 or not np.array_equal(world.picture(), sample.images[0]):
        return False
    return _JUDGES[ask](gather(world), slots, sample.answer)


def gather(world: StudioWorld) -> TileEvidence:
    """What the model of a world holds now."""
    model, data = world.model, world.data
    found = [root for root in range(1, model.nbody) if np.linalg.norm(data.xpos[root]) < _FAR_M]
    tiles = tuple(_tile(model, data, root) for root in found if model.body(root).name.startswith("tile_"))
    blocks = {
        _colour(model, int(model.body_geomadr[root])): data.xpos[root].copy()
        for root in found
        if model.body(root).name.startswith("block_")
    }
    return TileEvidence(tiles, blocks, lambda place, height: _strike(world, place, height))


def tile_point(evidence: TileEvidence, slots: Slots, answer: str) -> bool:
    """It is on the tile."""
    return _points(answer, 1) and _is_on_tile(evidence, slots, parse_locations(answer)[0])


def block_point(evidence: TileEvidence, slots: Slots, answer: str) -> bool:
    """It is on the block."""
    return _points(answer, 1) and _is_on_block(evidence, slots, parse_locations(answer)[0])


def tile_put(evidence: TileEvidence, slots: Slots, answer: str) -> bool:
    """The block, then the tile."""
    if not _points(answer, 2):
        return False
    block, tile = parse_locations(answer)
    return _is_on_block(evidence, slots, block) and _is_on_tile(evidence, slots, tile)


def tile_shows(evidence: TileEvidence, slots: Slots, answer: str) -> bool:
    """What is on the tile."""
    return [tile.drawing for tile in _meant(evidence, slots)] == [answer]


def tile_coloured(evidence: TileEvidence, slots: Slots, answer: str) -> bool:
    """The colour of the tile."""
    return [tile.colour for tile in _meant(evidence, slots)] == [answer]


_JUDGES: dict[str, Callable[[TileEvidence, Slots, str], bool]] = {
    "tile_point": tile_point,
    "block_point": block_point,
    "tile_put": tile_put,
    "tile_go": tile_point,
    "tile_shows": tile_shows,
    "tile_coloured": tile_coloured,
}


def _points(answer: str, number: int) -> bool:
    return [len(place) for place in parse_locations(answer)] == [2] * number


def _is_on_tile(evidence: TileEvidence, slots: Slots, place: tuple[float, ...]) -> bool:
    fits = _meant(evidence, slots)
    return len(fits) == 1 and _is_near(evidence, place, fits[0].position)


def _is_on_block(evidence: TileEvidence, slots: Slots, place: tuple[float, ...]) -> bool:
    _, colour, kind = (_PLAIN.get(word, word) for word in slots["block"].split())
    return kind == "block" and colour in evidence.blocks and _is_near(evidence, place, evidence.blocks[colour])


def _meant(evidence: TileEvidence, slots: Slots) -> Sequence[SeenTile]:
    meaning = read(slots["tile"])
    return [] if meaning is None else denote(meaning, evidence.tiles)


def _is_near(evidence: TileEvidence, place: tuple[float, ...], middle: Float64[np.ndarray, " xyz"]) -> bool:
    return bool(np.linalg.norm(evidence.strike(place, float(middle[2])) - middle) < NEAR_M)


def _tile(model: mujoco.MjModel, data: mujoco.MjData, root: int) -> SeenTile:
    first, number = int(model.body_geomadr[root]), int(model.body_geomnum[root])
    drawings = [drawing_of(model, geom) for geom in range(first, first + number)]
    return SeenTile(_colour(model, first), "".join(drawings), data.xpos[root].copy())


def _colour(model: mujoco.MjModel, geom: int) -> str:
    rgb = model.geom_rgba[geom, :3]
    return min(COLOURS, key=lambda name: float(np.abs(rgb - np.array(COLOURS[name])).sum()))


def _strike(world: StudioWorld, place: tuple[float, ...], height: float) -> Float64[np.ndarray, " xyz"]:
    camera = world.model.camera("scene").id
    look, eye = world.look_of, world.data.cam_xpos[camera]
    up = math.tan(math.radians(world.model.cam_fovy[camera]) / 2)
    local = np.array([(2 * place[1] - 1) * up * look.width / look.height, (1 - 2 * place[0]) * up, -1.0])
    ray = world.data.cam_xmat[camera].reshape(3, 3) @ local
    return eye + ray * ((height - eye[2]) / ray[2])
