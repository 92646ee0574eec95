"""Push to pad: push the named block onto the named pad with the gripper closed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from vla_sim.tasks import layout, motions
from vla_sim.tasks.stages import Stage, moved, reached
from vla_sim.tasks.task import Colours, Grounding, Names, Task
from vla_sim.worlds.scene import PAD_SIZE_M, Kind, Scene, Thing
from vla_sim.worlds.world import World

PUSH_HEIGHT_M = 0.022
CONTACT_M = 0.036
"""Between the middles of block and fingers when they touch."""
BEHIND_M = 0.062
"""Where to come down behind the block: clear of its corners."""
LANE_M = 0.016
"""How far beside the line through block and pad a push may run before it starts again."""
_BESIDE_M = {Kind.BOWL: 0.112, Kind.BUTTON: 0.085}
"""So far beside the way of a push do things of these kinds stand."""
MAX_PUSH_STEP_M = 0.032
ARRIVED_M = 0.015
MAX_SPEED_M_S = 0.02

TRAINING = (
    "push the {0} block to the {1} pad",
    "push the {0} block onto the {1} pad",
    "push the {0} cube onto the {1} pad",
    "push the {0} block until it is on the {1} pad",
    "push the {0} cube across the table to the {1} pad",
    "use the gripper to push the {0} block to the {1} pad",
    "slide the {0} block onto the {1} pad",
    "slide the {0} cube to the {1} pad",
    "slide the {0} block over to the {1} tile",
    "slide the {0} block across to the {1} pad",
    "shove the {0} block onto the {1} pad",
    "shove the {0} cube to the {1} tile",
)
HELD_OUT = (
    "push the {0} block over to the {1} tile",
    "slide the {0} cube until it is on the {1} tile",
    "shove the {0} block across the table to the {1} pad",
    "use the gripper to slide the {0} block onto the {1} pad",
    "slide the {0} cube onto the {1} pad",
)


def scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """Blocks and pads, the way from the block to the pad free."""
    return layout.blocks_and_pads(generator, *colours, accept=is_free)


def is_free(things: Sequence[Thing]) -> bool:
    """Whether the push is neither short nor long, starts within reach, and runs past nothing that it would hit."""
    block, pad, others = things[0], things[1], things[2:]
    start, end = np.array([block.x, block.y]), np.array([pad.x, pad.y])
    distance = float(np.linalg.norm(end - start))
    along = (end - start) / distance
    behind = start - BEHIND_M * along
    if not (0.11 < distance < 0.24 and 0.345 < behind[0] < 0.68 and abs(behind[1]) < 0.24):
        return False
    for other in others:
        if other.kind is not Kind.PAD:
            offset = np.array([other.x, other.y]) - behind
            on_way = np.clip(offset @ along, 0.0, distance + BEHIND_M)
            if np.linalg.norm(offset - on_way * along) < _BESIDE_M.get(other.kind, 0.075):
                return False
    return True


def success(world: World, names: Names) -> bool:
    """The block's middle lies on the pad, at rest, on the table."""
    return is_there(world, names) and world.speed(names[0]) < MAX_SPEED_M_S


def is_there(world: World, names: Names) -> bool:
    """Whether the block's middle is over the pad, on the table."""
    block, pad = (world.position(name) for name in names)
    return bool(np.abs(block[:2] - pad[:2]).max() < PAD_SIZE_M / 2 - 0.003 and block[2] < 0.03)


def expert(world: World, names: Names) -> Float32[np.ndarray, " action_dim"]:
    """Behind the block, down, then push along the line from block to pad; begin anew when off that line."""
    block, pad, hand = world.position(names[0])[:2], world.position(names[1])[:2], world.end_effector()
    distance = math.hypot(*(pad - block))
    if distance < ARRIVED_M:
        return motions.move(world, world.commanded()[:3], motions.CLOSED)
    along = (pad - block) / distance
    across = np.array([-along[1], along[0]])
    offset = hand[:2] - block
    is_behind = offset @ along < -CONTACT_M + 0.01 and abs(offset @ across) < LANE_M
    if is_behind and hand[2] < PUSH_HEIGHT_M + 0.01:
        step = min(MAX_PUSH_STEP_M, 0.7 * distance + 0.004 + max(0.0, -(offset @ along) - CONTACT_M))
        goal = hand[:2] + step * along - (offset @ across) * across
        return motions.move(world, np.array([*goal, PUSH_HEIGHT_M]), motions.CLOSED, yaw=0.0)
    behind = np.array([*(block - BEHIND_M * along), PUSH_HEIGHT_M])
    return motions.approach(world, behind, motions.CLOSED, yaw=0.0)


def grounding(world: World, names: Names) -> Grounding:
    """The block and the pad."""
    return Grounding(world.position(names[0]), world.position(names[1]))


STAGES = (
    reached(),
    Stage("contacted", lambda world, names, scene: world.is_touched(names[0])),
    moved(),
    Stage("placed", lambda world, names, scene: is_there(world, names)),
)


TASK = Task(
    name="push_to_pad",
    roles=(Kind.BLOCK, Kind.PAD),
    needs=frozenset({Kind.BLOCK, Kind.PAD}),
    training=TRAINING,
    held_out=HELD_OUT,
    max_steps=45,
    scene=scene,
    success=success,
    expert=expert,
    grounding=grounding,
    stages=STAGES,
)
