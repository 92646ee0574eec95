"""Open drawer: pull the drawer out by its handle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from vla_sim.embodiments import MAX_STEP_M
from vla_sim.tasks import layout, motions
from vla_sim.tasks.layout import Wish
from vla_sim.tasks.stages import REACHED_M, Stage, is_near
from vla_sim.tasks.task import Colours, Grounding, Names, Task
from vla_sim.worlds.scene import DRAWER_TRAVEL_M, Kind, Scene, Thing
from vla_sim.worlds.world import World

DRAWER = "drawer"
OPENED_M = 0.09
MOVED_M = 0.01
HANDLE_NARROW_M = 0.04
"""Narrower than this the fingers do not fit over the handle."""
HANDLE_HELD_M = 0.025
"""An opening below this, around the handle, holds it."""
HANDLE_TOLERANCE_M = 0.012

TRAINING = (
    "open the drawer",
    "open up the drawer",
    "open the drawer by its handle",
    "pull the drawer open",
    "pull open the drawer",
    "pull out the drawer",
    "pull the drawer out by its handle",
    "pull the handle of the drawer",
    "slide the drawer open",
    "slide open the drawer",
    "grab the handle and pull the drawer open",
    "take the handle and open the drawer",
)
HELD_OUT = (
    "grab the handle and open the drawer",
    "slide the drawer out",
    "pull open the drawer by its handle",
    "take the handle of the drawer and pull it open",
    "open the drawer up",
)


def scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """A drawer, closed, with its way free; two or three blocks and a pad."""
    drawer = draw_drawer(generator)
    blocks = layout.other_colours(generator, (), int(generator.integers(2, 4)))
    wishes = [Wish(Kind.BLOCK, colour) for colour in blocks]
    wishes += [Wish(Kind.PAD, colour) for colour in layout.other_colours(generator, (), 1)]
    things = layout.scatter(generator, wishes, fixed=(drawer,), accept=lambda things: is_clear(drawer, things))
    return Scene(things, layout.start_pose(generator), gripper=1.0)


def draw_drawer(generator: np.random.Generator) -> Thing:
    """A drawer at the near edge of the table."""
    return Thing(Kind.DRAWER, "", float(generator.uniform(0.30, 0.33)), float(generator.uniform(-0.11, 0.11)))


def is_clear(drawer: Thing, things: Sequence[Thing]) -> bool:
    """Whether nothing stands where the drawer opens, nor close beside it."""
    return all(thing.x > drawer.x + 0.28 or abs(thing.y - drawer.y) > 0.15 for thing in things)


def success(world: World, names: Names) -> bool:
    """Open by three quarters."""
    return world.displacement(DRAWER) > OPENED_M


def expert(world: World, names: Names) -> Float32[np.ndarray, " action_dim"]:
    """Fingers down on both sides of the handle, close, pull."""
    handle = world.position(DRAWER)
    gap = _gap_m(world)
    if _is_held(world):
        pull = np.array([MAX_STEP_M, 0.0, 0.0])
        return motions.move(world, world.commanded()[:3] + pull, motions.CLOSED, yaw=0.0)
    if gap < HANDLE_TOLERANCE_M:
        return motions.move(world, handle, motions.CLOSED, yaw=0.0)
    if world.opening_m() < HANDLE_NARROW_M:
        handle = handle + motions.up(0.04)
    return motions.approach(world, handle, motions.OPEN, yaw=0.0)


def _is_held(world: World) -> bool:
    """Whether the fingers have closed around the handle."""
    return _gap_m(world) < HANDLE_TOLERANCE_M + 0.006 and world.opening_m() < HANDLE_HELD_M


def _gap_m(world: World) -> float:
    """Between the tool centre point and the handle, along the axis where it is largest."""
    return float(np.abs(world.end_effector()[:3] - world.position(DRAWER)).max())


def grounding(world: World, names: Names) -> Grounding:
    """The handle, and where it is when the drawer is open."""
    handle = world.position(DRAWER)
    return Grounding(handle, handle + np.array([DRAWER_TRAVEL_M - world.displacement(DRAWER), 0.0, 0.0]))


STAGES = (
    Stage("reached", lambda world, names, scene: is_near(world, world.position(DRAWER), REACHED_M)),
    Stage("grasped", lambda world, names, scene: _is_held(world)),
    Stage("moved", lambda world, names, scene: world.displacement(DRAWER) > MOVED_M),
)


TASK = Task(
    name="open_drawer",
    roles=(),
    needs=frozenset({Kind.DRAWER}),
    training=TRAINING,
    held_out=HELD_OUT,
    max_steps=40,
    scene=scene,
    success=success,
    expert=expert,
    grounding=grounding,
    stages=STAGES,
)
