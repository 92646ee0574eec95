r"""Motions that experts are made of. Each is a function of the state alone: any state can be labelled.

An approach runs through a funnel: the farther from the goal, seen from above, the higher; so fingers and a
carried block clear what stands on the way, and no phase has to be remembered.

            ______________        clearance
                          \
                           \     slope
                            ||    goal, within TOLERANCE_M
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, Float64

from vla_sim.embodiments import MAX_STEP_M, MAX_TURN_RAD
from vla_sim.worlds.scene import BLOCK_SIZE_M
from vla_sim.worlds.world import World

OPEN, CLOSED = 1.0, 0.0
TOLERANCE_M = 0.008
"""As near as this is there."""
SLOPE = 4.0
CLEARANCE_M = 0.08
NARROW_M = 0.068
"""Narrower than this the fingers do not fit over a block."""
GRIPPED_M = BLOCK_SIZE_M + 0.013
"""An opening below this, around a block, holds it."""


def move(
    world: World,
    goal: Float64[np.ndarray, " xyz"],
    gripper: float,
    yaw: float | None = None,
    max_step_m: float = MAX_STEP_M,
) -> Float32[np.ndarray, " action_dim"]:
    """The straight step towards a goal; `yaw` is kept if not given."""
    pose = world.commanded()
    turn = 0.0 if yaw is None else wrap(yaw - pose[3])
    step = _limited(goal - pose[:3], max_step_m)
    return np.array([*step, np.clip(turn, -MAX_TURN_RAD, MAX_TURN_RAD), gripper], np.float32)


def approach(
    world: World,
    goal: Float64[np.ndarray, " xyz"],
    gripper: float,
    yaw: float | None = None,
    clearance_m: float = CLEARANCE_M,
) -> Float32[np.ndarray, " action_dim"]:
    """The step towards a goal through the funnel above it; where the arm is too low, up comes first."""
    pose = world.commanded()
    gap = math.hypot(goal[0] - pose[0], goal[1] - pose[1])
    height = goal[2] + min(clearance_m, SLOPE * max(0.0, gap - TOLERANCE_M / 2))
    too_low = max(0.0, height - pose[2] - 0.02)
    slowed = max(0.0, 1.0 - too_low / MAX_STEP_M)
    sideways = _limited(slowed * (goal[:2] - pose[:2]), MAX_STEP_M)
    up = np.clip(height - pose[2], -MAX_STEP_M, MAX_STEP_M)
    turn = 0.0 if yaw is None else np.clip(wrap(yaw - pose[3]), -MAX_TURN_RAD, MAX_TURN_RAD)
    return np.array([*sideways, up, turn, gripper], np.float32)


def grasp(world: World, block: str, clearance_m: float = CLEARANCE_M) -> Float32[np.ndarray, " action_dim"]:
    """The step towards having the fingers closed around a block that is not held."""
    goal = grasp_point(world, block)
    if is_around(world, block):
        return move(world, goal, CLOSED)
    if world.opening_m() < NARROW_M:
        # Open above the block, not on top of it.
        goal = goal + up(0.03 + BLOCK_SIZE_M / 2)
    return approach(world, goal, OPEN, square_yaw(world, block), clearance_m)


def carry(
    world: World, block: str, place: Float64[np.ndarray, " xyz"], clearance_m: float = CLEARANCE_M
) -> Float32[np.ndarray, " action_dim"]:
    """The step that brings a held block, its middle, to a place and lets it go there."""
    position = world.position(block)
    gap = place - position
    if math.hypot(gap[0], gap[1]) < TOLERANCE_M and abs(gap[2]) < TOLERANCE_M:
        return move(world, world.commanded()[:3], OPEN)
    return approach(world, world.commanded()[:3] + gap, CLOSED, clearance_m=clearance_m)


def bring(
    world: World,
    block: str,
    place: Float64[np.ndarray, " xyz"],
    is_there: bool,
    clearance_m: float = CLEARANCE_M,
) -> Float32[np.ndarray, " action_dim"]:
    """The step of taking a block to a place, its middle; once it is there and let go, of leaving upwards."""
    if is_held(world, block):
        return carry(world, block, place, clearance_m)
    if is_there:
        return move(world, world.commanded()[:3] + up(MAX_STEP_M), OPEN)
    return grasp(world, block, clearance_m)


def grasp_point(world: World, block: str) -> Float64[np.ndarray, " xyz"]:
    """Where the tool centre point takes a block: its middle, but clear of the table."""
    position = world.position(block).copy()
    position[2] = max(position[2], 0.02)
    return position


def is_around(world: World, block: str) -> bool:
    """Whether the fingers are on both sides of a block, and closing would hold it."""
    gap = world.end_effector()[:3] - grasp_point(world, block)
    return bool(np.abs(gap).max() < TOLERANCE_M + 0.002)


def is_held(world: World, block: str) -> bool:
    """Whether the fingers have closed around a block."""
    gap = np.abs(world.end_effector()[:3] - world.position(block))
    return bool(gap.max() < BLOCK_SIZE_M / 2 and world.opening_m() < GRIPPED_M)


def square_yaw(world: World, name: str) -> float:
    """The yaw, nearest to the arm's rest, at which the fingers are parallel to a block's faces."""
    quarter = math.pi / 2
    return (world.yaw(name) + quarter / 2) % quarter - quarter / 2


def up(height_m: float) -> Float64[np.ndarray, " xyz"]:
    """The vector of this height."""
    return np.array([0.0, 0.0, height_m])


def wrap(angle: float) -> float:
    """The same angle in [-pi, pi)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _limited(step: Float64[np.ndarray, " axes"], max_step_m: float) -> Float64[np.ndarray, " axes"]:
    """The step, shortened along its direction until every axis is within the limit."""
    longest = float(np.abs(step).max())
    return step * min(1.0, max_step_m / longest) if longest > 0 else step
