"""Put in bowl: drop the named block into the named bowl."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32

from vla_sim.tasks import layout, motions
from vla_sim.tasks.layout import Wish
from vla_sim.tasks.stages import GRASPED, Stage, moved, reached
from vla_sim.tasks.task import Colours, Grounding, Names, Task
from vla_sim.worlds.scene import BOWL_RADIUS_M, Kind, Scene
from vla_sim.worlds.world import World

RELEASE_M = 0.05
"""Height of the block's middle when it is let go: the fingers stay above the rim."""
MAX_SPEED_M_S = 0.03

TRAINING = (
    "put the {0} block in the {1} bowl",
    "put the {0} cube into the {1} bowl",
    "put the {0} block inside the {1} dish",
    "place the {0} block in the {1} bowl",
    "place the {0} cube into the {1} dish",
    "drop the {0} block into the {1} bowl",
    "drop the {0} cube in the {1} dish",
    "set the {0} block inside the {1} bowl",
    "pick up the {0} block and drop it in the {1} bowl",
    "lift the {0} block and put it into the {1} bowl",
    "take the {0} block and place it in the {1} bowl",
    "grab the {0} cube and drop it into the {1} bowl",
)
HELD_OUT = (
    "place the {0} cube inside the {1} bowl",
    "grab the {0} block and put it in the {1} dish",
    "lift the {0} cube and drop it into the {1} bowl",
    "set the {0} block down in the {1} bowl",
    "pick up the {0} cube and place it inside the {1} bowl",
)


def scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """Three blocks, two bowls and a pad."""
    block, bowl = colours
    others = layout.other_colours(generator, (block,), 2)
    wishes = [Wish(Kind.BLOCK, block), Wish(Kind.BOWL, bowl)]
    wishes += [Wish(Kind.BOWL, colour) for colour in layout.other_colours(generator, (bowl,), 1)]
    wishes += [Wish(Kind.BLOCK, colour) for colour in others]
    wishes += [Wish(Kind.PAD, colour) for colour in layout.other_colours(generator, (), 1)]
    return Scene(layout.scatter(generator, wishes), layout.start_pose(generator), gripper=1.0)


def success(world: World, names: Names) -> bool:
    """Within the rim, at rest, let go."""
    return is_there(world, names) and world.speed(names[0]) < MAX_SPEED_M_S and not world.is_touched(names[0])


def is_there(world: World, names: Names) -> bool:
    """Whether the block is within the rim."""
    block, bowl = (world.position(name) for name in names)
    return math.hypot(*(block[:2] - bowl[:2])) < BOWL_RADIUS_M and bool(block[2] < 0.045)


def expert(world: World, names: Names) -> Float32[np.ndarray, " action_dim"]:
    """Grasp, carry, let go above the bowl, leave."""
    place = world.position(names[1]) + motions.up(RELEASE_M)
    return motions.bring(world, names[0], place, is_there(world, names))


def grounding(world: World, names: Names) -> Grounding:
    """The block and the bowl."""
    return Grounding(world.position(names[0]), world.position(names[1]))


STAGES = (
    reached(),
    GRASPED,
    moved(),
    Stage("placed", lambda world, names, scene: is_there(world, names)),
)


TASK = Task(
    name="put_in_bowl",
    roles=(Kind.BLOCK, Kind.BOWL),
    needs=frozenset({Kind.BLOCK, Kind.BOWL}),
    training=TRAINING,
    held_out=HELD_OUT,
    max_steps=50,
    scene=scene,
    success=success,
    expert=expert,
    grounding=grounding,
    stages=STAGES,
)
