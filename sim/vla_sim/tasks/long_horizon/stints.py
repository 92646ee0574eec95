"""A stint: one step of a long task, when it is done, and what the expert does until then.

    which stint? the first that is not done ─► its expert ─► action
                 (a passing one also counts as done once the next is)

All of it is read from the present state: blocks stay where they were put, a drawer stays open, and in these scenes a
button that was pressed stays down. So the expert needs no memory of what it has done, and any state can be labelled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32

from vla_sim.embodiments import MAX_STEP_M
from vla_sim.tasks import motions, open_drawer, press_button, put_in_bowl, put_on_pad, stack
from vla_sim.tasks.order import Step
from vla_sim.tasks.task import Grounding, Names
from vla_sim.worlds.scene import BLOCK_SIZE_M
from vla_sim.worlds.world import World

HIGH_M = 0.16
"""Clearance over towers."""
_NEAR_M = 0.055
"""The fingers are clear of what is farther than this along every axis."""

type Action = Float32[np.ndarray, " action_dim"]


@dataclasses.dataclass(frozen=True)
class Stint:
    """One step, and who can do it."""

    step: Step
    act: Callable[[World, Names], Action]
    grounding: Callable[[World, Names], Grounding]
    is_passing: bool = False
    """Whether what was done is undone later on."""


def current(stints: Sequence[Stint], world: World, names: Names) -> Stint:
    """The stint that is to be done now; the last one when all are."""
    done = [stint.step.holds(world, names) for stint in stints]
    for index, stint in enumerate(stints):
        if not done[index] and not (stint.is_passing and any(done[index + 1 :])):
            return stint
    return stints[-1]


def put_in_bowl_stint(block: int, bowl: int) -> Stint:
    """Drop the block in the bowl; the numbers are of roles."""

    def pick(names: Names) -> Names:
        return names[block], names[bowl]

    def act(world: World, names: Names) -> Action:
        place = world.position(names[bowl]) + motions.up(put_in_bowl.RELEASE_M)
        return motions.bring(world, names[block], place, put_in_bowl.is_there(world, pick(names)), HIGH_M)

    return Stint(
        Step("put in bowl", lambda world, names: put_in_bowl.success(world, pick(names))),
        act,
        lambda world, names: put_in_bowl.grounding(world, pick(names)),
    )


def put_on_pad_stint(block: int, pad: Callable[[Names], str], *, is_passing: bool = False) -> Stint:
    """Set the block down on a pad."""

    def pick(names: Names) -> Names:
        return names[block], pad(names)

    def act(world: World, names: Names) -> Action:
        place = world.position(pad(names)) + motions.up(BLOCK_SIZE_M / 2)
        return motions.bring(world, names[block], place, put_on_pad.is_there(world, pick(names)), HIGH_M)

    return Stint(
        Step("put on pad", lambda world, names: put_on_pad.success(world, pick(names))),
        act,
        lambda world, names: put_on_pad.grounding(world, pick(names)),
        is_passing,
    )


def stack_stint(block: int, base: int) -> Stint:
    """Set the block on another."""

    def pick(names: Names) -> Names:
        return names[block], names[base]

    def act(world: World, names: Names) -> Action:
        place = world.position(names[base]) + motions.up(BLOCK_SIZE_M)
        return motions.bring(world, names[block], place, stack.is_there(world, pick(names)), HIGH_M)

    return Stint(
        Step("stack", lambda world, names: stack.success(world, pick(names))),
        act,
        lambda world, names: stack.grounding(world, pick(names)),
    )


def press_stint(button: int, let_go: Callable[[Names], Names] = lambda names: ()) -> Stint:
    """Press the button, which stays down.

    Args:
        let_go: what may be between the fingers when this begins: up and away from it with open fingers comes first.
    """

    def pick(names: Names) -> Names:
        return (names[button],)

    def act(world: World, names: Names) -> Action:
        if any(_is_around(world, thing) for thing in let_go(names)):
            return motions.move(world, world.commanded()[:3] + motions.up(MAX_STEP_M), motions.OPEN)
        goal = world.position(names[button])
        goal = np.array([goal[0], goal[1], press_button.PRESS_HEIGHT_M])
        if world.opening_m() > press_button.CLOSED_ENOUGH_M:
            goal = goal + motions.up(0.04)
        return motions.approach(world, goal, motions.CLOSED, yaw=0.0, clearance_m=HIGH_M)

    return Stint(
        Step("press", lambda world, names: press_button.success(world, pick(names))),
        act,
        lambda world, names: press_button.grounding(world, pick(names)),
    )


def open_drawer_stint() -> Stint:
    """Pull the drawer open."""
    return Stint(
        Step("open drawer", lambda world, names: open_drawer.success(world, ())),
        lambda world, names: open_drawer.expert(world, ()),
        lambda world, names: open_drawer.grounding(world, ()),
    )


def _is_around(world: World, thing: str) -> bool:
    """Whether the fingers are so near to a thing that closing them might take it."""
    return float(np.abs(world.end_effector()[:3] - world.position(thing)).max()) < _NEAR_M
