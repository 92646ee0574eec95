"""Put on pad: set the named block down on the named pad and let it go."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from vla_sim.tasks import layout, motions
from vla_sim.tasks.stages import GRASPED, Stage, moved, reached
from vla_sim.tasks.task import Colours, Grounding, Names, Task
from vla_sim.worlds.scene import BLOCK_SIZE_M, PAD_SIZE_M, Kind, Scene
from vla_sim.worlds.world import World

MAX_SPEED_M_S = 0.02

TRAINING = (
    "put the {0} block on the {1} pad",
    "put the {0} cube onto the {1} pad",
    "put the {0} block down on the {1} tile",
    "place the {0} block on the {1} pad",
    "place the {0} cube on the {1} tile",
    "set the {0} block on the {1} pad",
    "set the {0} cube down on the {1} pad",
    "drop the {0} block on the {1} pad",
    "pick up the {0} block and put it on the {1} pad",
    "lift the {0} block and set it on the {1} pad",
    "take the {0} block and place it on the {1} pad",
    "grab the {0} cube and put it on the {1} pad",
)
HELD_OUT = (
    "place the {0} block down on the {1} pad",
    "grab the {0} block and set it on the {1} tile",
    "pick up the {0} cube and place it onto the {1} pad",
    "drop the {0} cube on the {1} tile",
    "take the {0} cube and put it down on the {1} pad",
)


def scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """Blocks and pads."""
    return layout.blocks_and_pads(generator, *colours)


def success(world: World, names: Names) -> bool:
    """On the pad, at rest, let go."""
    return is_there(world, names) and world.speed(names[0]) < MAX_SPEED_M_S and not world.is_touched(names[0])


def is_there(world: World, names: Names) -> bool:
    """Whether the block's middle is over the pad, on the table."""
    block, pad = (world.position(name) for name in names)
    return bool(np.abs(block[:2] - pad[:2]).max() < PAD_SIZE_M / 2 - 0.003 and block[2] < 0.03)


def expert(world: World, names: Names) -> Float32[np.ndarray, " action_dim"]:
    """Grasp, carry, set down, let go, leave."""
    place = world.position(names[1]) + motions.up(BLOCK_SIZE_M / 2)
    return motions.bring(world, names[0], place, is_there(world, names))


def grounding(world: World, names: Names) -> Grounding:
    """The block and the pad."""
    return Grounding(world.position(names[0]), world.position(names[1]))


STAGES = (
    reached(),
    GRASPED,
    moved(),
    Stage("placed", lambda world, names, scene: is_there(world, names)),
)


TASK = Task(
    name="put_on_pad",
    roles=(Kind.BLOCK, Kind.PAD),
    needs=frozenset({Kind.BLOCK, Kind.PAD}),
    training=TRAINING,
    held_out=HELD_OUT,
    max_steps=50,
    scene=scene,
    success=success,
    expert=expert,
    grounding=grounding,
    stages=STAGES,
)
