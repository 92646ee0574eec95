"""Stack: set the first named block on the second. `stack_swapped` is the same scene with the roles exchanged."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float32

from vla_sim.tasks import layout, motions
from vla_sim.tasks.layout import Wish
from vla_sim.tasks.stages import GRASPED, Stage, moved, reached
from vla_sim.tasks.task import Colours, Grounding, Names, Task
from vla_sim.worlds.scene import BLOCK_SIZE_M, Kind, Scene
from vla_sim.worlds.world import World

MAX_SPEED_M_S = 0.02

TRAINING = (
    "stack the {0} block on the {1} block",
    "stack the {0} block on top of the {1} block",
    "stack the {0} cube onto the {1} cube",
    "put the {0} block on the {1} block",
    "put the {0} block on top of the {1} block",
    "place the {0} cube on the {1} cube",
    "place the {0} block on top of the {1} cube",
    "set the {0} block on the {1} block",
    "balance the {0} block on the {1} cube",
    "pick up the {0} block and stack it on the {1} block",
    "lift the {0} cube and put it on top of the {1} block",
    "build a tower with the {0} block on the {1} block",
)
HELD_OUT = (
    "set the {0} cube on top of the {1} cube",
    "stack the {0} cube on the {1} block",
    "grab the {0} block and stack it on top of the {1} block",
    "place the {0} cube down on top of the {1} block",
    "build a tower with the {0} cube on top of the {1} cube",
)


def scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """Three or four blocks and a pad."""
    others = layout.other_colours(generator, colours, int(generator.integers(1, 3)))
    wishes = [Wish(Kind.BLOCK, colour) for colour in (*colours, *others)]
    wishes += [Wish(Kind.PAD, colour) for colour in layout.other_colours(generator, (), 1)]
    return Scene(layout.scatter(generator, wishes), layout.start_pose(generator), gripper=1.0)


def success(world: World, names: Names) -> bool:
    """One on the other, at rest, let go."""
    return is_there(world, names) and world.speed(names[0]) < MAX_SPEED_M_S and not world.is_touched(names[0])


def is_there(world: World, names: Names) -> bool:
    """Whether the first block is on the second."""
    gap = world.position(names[0]) - world.position(names[1])
    return math.hypot(gap[0], gap[1]) < BLOCK_SIZE_M / 2 and bool(abs(gap[2] - BLOCK_SIZE_M) < 0.006)


def expert(world: World, names: Names) -> Float32[np.ndarray, " action_dim"]:
    """Grasp, carry, set down, let go, leave."""
    place = world.position(names[1]) + motions.up(BLOCK_SIZE_M)
    return motions.bring(world, names[0], place, is_there(world, names))


def grounding(world: World, names: Names) -> Grounding:
    """The block that is moved and the one that is to carry it."""
    return Grounding(world.position(names[0]), world.position(names[1]))


STAGES = (
    reached(),
    GRASPED,
    moved(),
    Stage("placed", lambda world, names, scene: is_there(world, names)),
)


TASK = Task(
    name="stack",
    roles=(Kind.BLOCK, Kind.BLOCK),
    needs=frozenset({Kind.BLOCK}),
    training=TRAINING,
    held_out=HELD_OUT,
    max_steps=50,
    scene=scene,
    success=success,
    expert=expert,
    grounding=grounding,
    stages=STAGES,
)
SWAPPED_TASK = dataclasses.replace(TASK, name="stack_swapped", scene_of="stack", swapped=True)
