"""Cups and the drawer: what hides a block, whether it is open, and how an expert opens it.

shown:   block  block  block      drawer open, a block in it
covered:  cup    cup    cup       drawer shut
lifted or pulled by more than OPENED ─► that is the answer; of the wrong one ─► the attempt is lost
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32

from vla_sim.embodiments import MAX_STEP_M
from vla_sim.tasks import motions, open_drawer
from vla_sim.tasks.open_drawer import DRAWER
from vla_sim.worlds.scene import CUP_GRASP_M, CUP_SIZE_M, HANDLE_OFFSET_M, SHOWN_STEPS
from vla_sim.worlds.world import World

CUPS = ("first cup", "second cup", "third cup")
LIFTED_M = 0.05
"""A cup is lifted when it is higher than this."""
WRONG_LIFT_M, WRONG_PULL_M = 0.03, 0.03
"""So much of the wrong one gives it away."""
HELD_M = CUP_SIZE_M + 0.006
NARROW_M = 0.074
_TOLERANCE_M = 0.01
_OPEN_ABOVE_M = 0.06

type Action = Float32[np.ndarray, " action_dim"]


def is_showing(world: World) -> bool:
    """Whether the arm may not act yet."""
    return round(world.time_s() * world.embodiment.control_hz) < SHOWN_STEPS


def rest(world: World) -> Action:
    """Nothing, the gripper open."""
    return motions.move(world, world.commanded()[:3], motions.OPEN)


def hiding_cup(world: World, block: str, cups: tuple[str, ...]) -> str:
    """The cup that is nearest to a block, seen from above."""
    return min(cups, key=lambda cup: math.hypot(*(world.position(cup) - world.position(block))[:2]))


def is_in_drawer(world: World, block: str) -> bool:
    """Whether a block lies in the drawer, open or shut."""
    gap = world.position(block) - world.position(DRAWER)
    return bool(-2 * HANDLE_OFFSET_M[0] < gap[0] < 0.0 and abs(gap[1]) < 0.07)


def lift_m(world: World, cup: str) -> float:
    """How far a cup is above where it stands."""
    return float(world.position(cup)[2]) - CUP_GRASP_M


def is_lifted(world: World, cup: str) -> bool:
    """Whether a cup shows what was below it."""
    return lift_m(world, cup) > LIFTED_M


def is_open(world: World) -> bool:
    """Whether the drawer shows what is in it."""
    return world.displacement(DRAWER) > open_drawer.OPENED_M


def lift(world: World, cup: str) -> Action:
    """The step of taking a cup from above and lifting it."""
    goal = world.position(cup)
    gap = float(np.abs(world.end_effector()[:3] - goal).max())
    if gap < 2 * _TOLERANCE_M and world.opening_m() < HELD_M:
        return motions.move(world, world.commanded()[:3] + motions.up(MAX_STEP_M), motions.CLOSED)
    if gap < _TOLERANCE_M:
        return motions.move(world, goal, motions.CLOSED)
    if world.opening_m() < NARROW_M:
        goal = goal + motions.up(_OPEN_ABOVE_M)
    return motions.approach(world, goal, motions.OPEN, motions.square_yaw(world, cup))
