"""Tabletop pictures by number: moments of disturbed demonstrations, and tables that nobody has touched.

    window of 16 pictures = 8 moments of one demonstration + 8 still tables with things in and on each other

A picture is a function of the corpus's seed and its number. Each is drawn once and used by many questions.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import OrderedDict

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from vla.interfaces import TemplateSet
from vla_sim.corpus.still_tables import still_table
from vla_sim.corpus.studio_world import Look, StudioWorld
from vla_sim.demonstrations import Disturbance, NoiseConfig
from vla_sim.environment import Attempt
from vla_sim.tasks import SUITES, TASKS, motions
from vla_sim.worlds.scene import BLOCK_SIZE_M, Kind, Scene

WINDOW = 16
MOMENTS = 8
CLEAR_SHARE, CLEAR_PIXELS = 0.55, 12
"""From these on a thing is seen clearly; below them, and not quite hidden, nothing is asked about it."""
_EDGE_PX, _EDGE_SHARE = 1.0, 0.008
"""How far what is seen may stay within a thing's outline: px, and a share of the picture's height."""
_GRIPPING_M = BLOCK_SIZE_M - 0.0005
"""Fingers that press on a block are nearer to each other than it is wide."""
_STEPS_AFTER = 3
"""Steps that a demonstration goes on after its task is done."""
_KEPT_WINDOWS = 10
"""Somewhat more than a chapter, see `draws.py`; at most 25 MB."""
_EPISODE_STREAM, _STILL_STREAM = 11, 12
_TASK_SEED_FROM = 2**32
"""Far from the seeds that people collect and evaluate with."""


@dataclasses.dataclass(frozen=True)
class Sight:
    """One thing on the table, and how the camera sees it."""

    name: str
    kind: Kind
    colour: str
    position: Float64[np.ndarray, " xyz"]
    """As `World.position`: m."""
    middle: tuple[float, float]
    """Where the camera sees that: column and row, px."""
    pixels: int
    share: float
    """Of its outline, that is seen."""
    box: tuple[int, int, int, int]
    """First and last+1 row and column of what is seen: top, left, bottom, right, px."""
    point: tuple[int, int]
    """Row and column of the pixel deepest inside what is seen."""
    is_whole: bool
    """Whether `box` is that of the whole thing: nothing covers any of its sides."""

    @property
    def is_clear(self) -> bool:
        return self.share >= CLEAR_SHARE and self.pixels >= CLEAR_PIXELS

    @property
    def is_hidden(self) -> bool:
        return self.pixels == 0


@dataclasses.dataclass(frozen=True)
class TabletopPicture:
    """One picture, and what is true in it."""

    number: int
    scene_id: str
    """The same for pictures of one demonstration."""
    image: UInt8[np.ndarray, "height width 3"]
    sights: tuple[Sight, ...]
    attempt: Attempt | None
    """What the arm is at; None where it is still."""
    is_done: bool
    held: str
    """The name of the block between the fingers; empty for none."""
    opening_m: float
    tcp: Float64[np.ndarray, " xyz"]
    tcp_pixel: tuple[float, float]
    scene: Scene
    look: Look
    state: Float64[np.ndarray, " numbers"]
    """Of the world: `StudioWorld.take(scene, look, state)` stands as in the picture."""

    @property
    def clear(self) -> list[Sight]:
        """What is seen clearly, from left to right."""
        return sorted((sight for sight in self.sights if sight.is_clear), key=lambda sight: sight.middle)

    @property
    def is_plain(self) -> bool:
        """Whether everything on the table is seen clearly or not at all."""
        return all(sight.is_clear or sight.is_hidden for sight in self.sights)

    @property
    def names(self) -> frozenset[str]:
        """Of everything on the table, hidden things too."""
        return frozenset(sight.name for sight in self.sights)

    @property
    def is_grip_certain(self) -> bool:
        """Whether the fingers do not just begin to close on a block, or let it go."""
        return not self.held or self.opening_m < _GRIPPING_M

    @property
    def shows_gripper(self) -> bool:
        """Whether the point between the fingertips lies within the picture."""
        height, width, _ = self.image.shape
        return 0 <= self.tcp_pixel[0] < width and 0 <= self.tcp_pixel[1] < height

    def sight(self, name: str) -> Sight:
        """The thing of a name."""
        return next(sight for sight in self.sights if sight.name == name)

    def facts(self) -> dict[str, object]:
        """The simulator's state, as JSON."""
        things = {s.name: {"position_m": _rounded(s.position), "share_seen": round(s.share, 3)} for s in self.sights}
        gripper = {"position_m": _rounded(self.tcp), "opening_m": round(self.opening_m, 4), "held": self.held}
        facts: dict[str, object] = {"number": self.number, "things": things, "gripper": gripper}
        if self.attempt is not None:
            facts |= {"task": self.attempt.task.name, "about": list(self.attempt.names), "done": self.is_done}
        return facts


class Album:
    """The pictures of a seed; those of a few windows are kept."""

    def __init__(self, seed: int) -> None:
        """Begin with none."""
        self.seed = seed
        self.num_taken = 0
        """Pictures that were made: more than are used."""
        self._world: StudioWorld | None = None
        self._kept: OrderedDict[int, dict[int, TabletopPicture]] = OrderedDict()
        self._moments: OrderedDict[int, _Demonstration] = OrderedDict()

    def __getitem__(self, number: int) -> TabletopPicture:
        """The picture of a number, drawn now or before."""
        window, place = divmod(number, WINDOW)
        pictures = self._kept.setdefault(window, {})
        self._kept.move_to_end(window)
        if len(self._kept) > _KEPT_WINDOWS:
            self._kept.popitem(last=False)
        if place not in pictures:
            pictures[place] = self._moment(number) if place % 2 else self._still(number)
            self.num_taken += 1
        return pictures[place]

    @property
    def world(self) -> StudioWorld:
        """Made when first needed."""
        if self._world is None:
            self._world = StudioWorld()
        return self._world

    def _still(self, number: int) -> TabletopPicture:
        generator = np.random.default_rng([_STILL_STREAM, self.seed, number])
        scene, look = still_table(generator), Look.draw(generator)
        self.world.reset(scene)
        self.world.look(look)
        return _picture(self.world, number, f"table:{self.seed}:{number}", scene, None)

    def _moment(self, number: int) -> TabletopPicture:
        window, place = divmod(number, WINDOW)
        if window not in self._moments:
            self._moments[window] = _demonstrate(self.world, self.seed, window)
            if len(self._moments) > _KEPT_WINDOWS:
                self._moments.popitem(last=False)
        told = self._moments[window]
        self.world.take(told.attempt.scene, told.look, told.states[place // 2])
        return _picture(self.world, number, f"episode:{self.seed}:{window}", told.attempt.scene, told.attempt)


@dataclasses.dataclass(frozen=True)
class _Demonstration:
    attempt: Attempt
    look: Look
    states: list[np.ndarray]


def _demonstrate(world: StudioWorld, seed: int, window: int) -> _Demonstration:
    """An expert at a task, disturbed, at `MOMENTS` moments in order."""
    generator = np.random.default_rng([_EPISODE_STREAM, seed, window])
    task = TASKS[SUITES["tabletop"][int(generator.integers(len(SUITES["tabletop"])))]]
    scene, colours = task.draw(int(generator.integers(_TASK_SEED_FROM, 2 * _TASK_SEED_FROM)))
    names = task.names(colours)
    attempt = Attempt(task, names, scene, task.instruction(colours, TemplateSet.TRAINING, generator))
    disturb = Disturbance(NoiseConfig(), generator)
    world.reset(scene)
    states, after = [world.save()], 0
    while after < _STEPS_AFTER and len(states) <= task.max_steps:
        world.step(disturb(task.expert(world, names)))
        states.append(world.save())
        after += after > 0 or task.success(world, names)
    # One moment of each eighth, and the end: where tasks are done. A short one is seen twice in some.
    edges = np.linspace(0, len(states), MOMENTS + 1).astype(int)
    chosen = [int(generator.integers(low, max(high, low + 1))) for low, high in itertools.pairwise(edges)]
    return _Demonstration(attempt, Look.draw(generator), [states[i] for i in (*chosen[:-1], len(states) - 1)])


def _picture(world: StudioWorld, number: int, scene_id: str, scene: Scene, attempt: Attempt | None) -> TabletopPicture:
    geoms = world.geoms_seen()
    column, row = world.pixel(world.end_effector()[None, :3])[0]
    held = next((t.name for t in scene.of_kind(Kind.BLOCK) if motions.is_held(world, t.name)), "")
    return TabletopPicture(
        number=number,
        scene_id=scene_id,
        image=world.picture(),
        sights=tuple(_sight(world, thing.name, thing.kind, thing.colour, geoms) for thing in scene.things),
        attempt=attempt,
        is_done=attempt is not None and attempt.task.success(world, attempt.names),
        held=held,
        opening_m=world.opening_m(),
        tcp=world.end_effector()[:3],
        tcp_pixel=(float(column), float(row)),
        scene=scene,
        look=world.look_of,
        state=world.save(),
    )


def _sight(world: StudioWorld, name: str, kind: Kind, colour: str, geoms: np.ndarray) -> Sight:
    mask = world.mask(name, geoms)
    pixels = int(mask.sum())
    position = world.position(name).copy()
    column, row = world.pixel(position[None])[0]
    corners = world.pixel(world.corners(name))
    outline = cv2.convexHull(corners.astype(np.float32))
    share = pixels / max(1.0, float(cv2.contourArea(outline)))
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1) if pixels else (0, 0, 0, 0)
    point = deepest(mask) if pixels else (0, 0)
    is_whole = pixels > 0 and _is_whole(box, corners, mask.shape[0])
    return Sight(name, kind, colour, position, (float(column), float(row)), pixels, share, box, point, is_whole)


def _is_whole(box: tuple[int, int, int, int], corners: np.ndarray, height: int) -> bool:
    (left, top), (right, bottom) = corners.min(0), corners.max(0)
    gaps = np.abs(np.array(box) - [top, left, bottom, right])
    return bool(gaps.max() < _EDGE_PX + _EDGE_SHARE * height)


def deepest(mask: np.ndarray) -> tuple[int, int]:
    """Row and column of the pixel of a mask that is farthest from its edge."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row) - 1, int(column) - 1


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
