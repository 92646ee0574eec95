"""Press button: push the named button down."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from vla_sim.tasks import layout, motions
from vla_sim.tasks.layout import Wish
from vla_sim.tasks.stages import Stage, reached
from vla_sim.tasks.task import NOWHERE, Colours, Grounding, Names, Task
from vla_sim.worlds.scene import BUTTON_TOP_M, Kind, Scene
from vla_sim.worlds.world import World

PRESSED_M = 0.01
MOVED_M = 0.003
"""More than a cap gives when it is brushed."""
PRESS_HEIGHT_M = BUTTON_TOP_M - 0.008
"""Of the tool centre point when the button is down: the fingers reach 8 mm below it."""
CLOSED_ENOUGH_M = 0.03
"""Wider than this the fingers would come down beside the cap."""

TRAINING = (
    "press the {0} button",
    "press down on the {0} button",
    "press the {0} button down",
    "press the {0} switch",
    "push the {0} button",
    "push down the {0} button",
    "push the {0} button down with the gripper",
    "hit the {0} button",
    "tap the {0} button",
    "click the {0} button",
    "use the gripper to press the {0} button",
    "go to the {0} button and press it",
)
HELD_OUT = (
    "push down on the {0} button",
    "tap the {0} switch",
    "use the gripper to push the {0} switch",
    "hit the {0} button with the gripper",
    "press down the {0} switch",
)


def scene(generator: np.random.Generator, colours: Colours) -> Scene:
    """Two buttons, two or three blocks and a pad."""
    wishes = [Wish(Kind.BUTTON, colour) for colour in (*colours, *layout.other_colours(generator, colours, 1))]
    blocks = layout.other_colours(generator, (), int(generator.integers(2, 4)))
    wishes += [Wish(Kind.BLOCK, colour) for colour in blocks]
    wishes += [Wish(Kind.PAD, colour) for colour in layout.other_colours(generator, (), 1)]
    return Scene(layout.scatter(generator, wishes), layout.start_pose(generator), gripper=1.0)


def success(world: World, names: Names) -> bool:
    """Down by most of its travel."""
    return world.displacement(names[0]) > PRESSED_M


def expert(world: World, names: Names) -> Float32[np.ndarray, " action_dim"]:
    """Above it with the gripper closed, then down."""
    goal = world.position(names[0])
    goal = np.array([goal[0], goal[1], PRESS_HEIGHT_M])
    if world.opening_m() > CLOSED_ENOUGH_M:
        goal = goal + motions.up(0.04)
    return motions.approach(world, goal, motions.CLOSED, yaw=0.0)


def grounding(world: World, names: Names) -> Grounding:
    """The button."""
    return Grounding(world.position(names[0]), NOWHERE)


STAGES = (
    reached(),
    Stage("moved", lambda world, names, scene: world.displacement(names[0]) > MOVED_M),
)


TASK = Task(
    name="press_button",
    roles=(Kind.BUTTON,),
    needs=frozenset({Kind.BUTTON}),
    training=TRAINING,
    held_out=HELD_OUT,
    max_steps=30,
    scene=scene,
    success=success,
    expert=expert,
    grounding=grounding,
    stages=STAGES,
)
