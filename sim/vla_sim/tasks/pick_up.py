"""Pick up: lift the named block off the table."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from vla_sim.embodiments import MAX_STEP_M
from vla_sim.tasks import layout, motions
from vla_sim.tasks.stages import GRASPED, moved, reached
from vla_sim.tasks.task import NOWHERE, Colours, Grounding, Names, Task
from vla_sim.worlds.scene import Kind, Scene
from vla_sim.worlds.world import World

LIFTED_M = 0.08
"""Height of the block's middle above the table."""

TRAINING = (
    "pick up the {0} block",
    "pick the {0} block up",
    "pick up the {0} cube",
    "lift the {0} block",
    "lift up the {0} block",
    "lift the {0} cube off the table",
    "raise the {0} block",
    "grab the {0} block",
    "grab the {0} cube and lift it",
    "grasp the {0} block and raise it",
    "take the {0} block off the table",
    "hold the {0} cube up",
)
HELD_OUT = (
    "grasp the {0} cube and lift it up",
    "raise the {0} cube off the table",
    "pick the {0} cube up off the table",
    "take the {0} block and lift it",
    "grab the {0} block and hold it up",
)


def scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """Blocks and pads."""
    return layout.blocks_and_pads(generator, colours[0], None)


def success(world: World, names: Names) -> bool:
    """High above the table, between the fingers."""
    return bool(world.position(names[0])[2] > LIFTED_M) and motions.is_held(world, names[0])


def expert(world: World, names: Names) -> Float32[np.ndarray, " action_dim"]:
    """Grasp, then up."""
    if motions.is_held(world, names[0]):
        return motions.move(world, world.commanded()[:3] + motions.up(MAX_STEP_M), motions.CLOSED)
    return motions.grasp(world, names[0])


def grounding(world: World, names: Names) -> Grounding:
    """The block."""
    return Grounding(world.position(names[0]), NOWHERE)


STAGES = (reached(), GRASPED, moved())


TASK = Task(
    name="pick_up",
    roles=(Kind.BLOCK,),
    needs=frozenset({Kind.BLOCK}),
    training=TRAINING,
    held_out=HELD_OUT,
    max_steps=30,
    scene=scene,
    success=success,
    expert=expert,
    grounding=grounding,
    stages=STAGES,
)
