"""Reach: hold the gripper just above the named block."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64

from vla_sim.tasks import layout, motions
from vla_sim.tasks.stages import reached
from vla_sim.tasks.task import NOWHERE, Colours, Grounding, Names, Task
from vla_sim.worlds.scene import Kind, Scene
from vla_sim.worlds.world import World

HEIGHT_M = 0.05
"""Of the tool centre point above the middle of the block."""
TOLERANCE_M = 0.02
MAX_SPEED_M_S = 0.1

TRAINING = (
    "reach the {0} block",
    "reach for the {0} block",
    "reach the {0} cube",
    "move to the {0} block",
    "go to the {0} block",
    "go above the {0} cube",
    "move the gripper to the {0} block",
    "move the gripper above the {0} block",
    "bring the gripper to the {0} cube",
    "bring the arm over the {0} block",
    "hover over the {0} block",
    "move over the {0} cube",
)
HELD_OUT = (
    "bring the gripper above the {0} block",
    "move the arm to the {0} cube",
    "go over to the {0} block",
    "hover above the {0} cube",
    "reach for the {0} cube with the gripper",
)


def scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """Blocks and pads; the arm starts away from the named block."""
    return layout.blocks_and_pads(generator, colours[0], None, away=True)


def success(world: World, names: Names) -> bool:
    """Near, and at rest."""
    gap = world.end_effector()[:3] - _goal(world, names)
    return bool(np.linalg.norm(gap) < TOLERANCE_M) and world.end_effector_speed() < MAX_SPEED_M_S


def expert(world: World, names: Names) -> Float32[np.ndarray, " action_dim"]:
    """Straight there, the gripper open."""
    return motions.approach(world, _goal(world, names), motions.OPEN, yaw=0.0, clearance_m=0.03)


def grounding(world: World, names: Names) -> Grounding:
    """The block."""
    return Grounding(world.position(names[0]), NOWHERE)


def _goal(world: World, names: Names) -> Float64[np.ndarray, " xyz"]:
    return world.position(names[0]) + motions.up(HEIGHT_M)


STAGES = (reached(near_m=0.09),)
"""Success is nearer, and at rest."""


TASK = Task(
    name="reach",
    roles=(Kind.BLOCK,),
    needs=frozenset({Kind.BLOCK}),
    training=TRAINING,
    held_out=HELD_OUT,
    max_steps=24,
    scene=scene,
    success=success,
    expert=expert,
    grounding=grounding,
    stages=STAGES,
)
