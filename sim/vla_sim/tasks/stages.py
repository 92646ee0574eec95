"""The stages on the way to success, read from the world's state: where an attempt that failed got stuck.

    start ─► reached ─► grasped ─► moved ─► placed ─► success (at rest, let go)

A stage holds in a state or it does not; whoever reports keeps which ones ever held. Policies are never shown them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from vla_sim.tasks import motions
from vla_sim.worlds.scene import BLOCK_SIZE_M, CARRIED, Scene
from vla_sim.worlds.world import World

REACHED_M = 0.06
"""The tool centre point is this near to the middle of a thing."""
MOVED_M = 0.03
"""A block has left its place by so much; a nudge moves it less."""

type Names = tuple[str, ...]
type Reading = Callable[[World, Names, Scene], bool]
"""Whether a stage holds in a state, for the things that the instruction names, in the scene as it began."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One step on the way."""

    name: str
    """A participle: `reached`, `grasped`, `moved`, `placed`."""
    holds: Reading


def reached(near_m: float = REACHED_M) -> Stage:
    """The gripper is at the first named thing."""
    return Stage("reached", lambda world, names, scene: is_near(world, world.position(names[0]), near_m))


def moved() -> Stage:
    """The first named block has left its place."""
    return Stage("moved", lambda world, names, scene: has_moved(world, names[0], scene))


GRASPED = Stage("grasped", lambda world, names, scene: motions.is_held(world, names[0]))
"""The fingers have closed around the first named block."""


def is_near(world: World, point: Float64[np.ndarray, " xyz"], near_m: float) -> bool:
    """Whether the tool centre point is within a distance of a point."""
    return float(np.linalg.norm(world.end_effector()[:3] - point)) < near_m


def has_moved(world: World, block: str, scene: Scene) -> bool:
    """Whether a block has left the place it began at, seen from above or by height."""
    thing = next(thing for thing in scene.things if thing.name == block)
    x, y, z = world.position(block)
    return math.hypot(x - thing.x, y - thing.y) > MOVED_M or bool(z - thing.z > MOVED_M + BLOCK_SIZE_M / 2)


def moves_another(world: World, names: Names, scene: Scene) -> bool:
    """Whether a block that the instruction does not name has left its place."""
    others = (thing.name for thing in scene.things if thing.kind in CARRIED and thing.name not in names)
    return any(has_moved(world, block, scene) for block in others)
