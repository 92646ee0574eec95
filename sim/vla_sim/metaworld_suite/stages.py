"""How far an attempt at one of Meta-World's tasks has come, as far as its state tells honestly.

    start ─► reached ─► moved ─► success

Meta-World reports `near_object` and `grasp_success` at every step, but they are no stages: they mean other things in
other tasks, and in 21 of the fifty `grasp_success` is 1 all the time. So the stages are read from geometry: where the
fingertips are, and where the point is that Meta-World calls the object's position. There is no `grasped`, for nothing
in the state says it alike for all tasks, and no `placed`, for success is judged from that very distance.

Objects settle by themselves, a door by ten centimetres: what counts is how far one moved since the fingertips first
came near.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

REACHED_M = 0.10
"""From the fingertips' centre to the object's point, which for handles and buttons is not where one touches them."""
REACHED_WITH_A_KNUCKLE_M = {"button_press": 0.13, "coffee_button": 0.13}
"""Meta-World's experts, each at one seed, come within 0.082 m in all tasks but these."""
MOVED_M = 0.03
"""As on the tabletop."""
MOVED_A_LITTLE_M = {"coffee_button": 0.01, "stick_push": 0.01, "door_close": 0.01}
"""Where success takes less: there the expert moves the object's point by 0.017, 0.016 and 0.028 m."""
WITHOUT_OBJECT = ("reach", "reach_wall")
"""Tasks in which nothing is to be touched: they have no stages before success."""


def is_near(task: str, fingertips: Float64[np.ndarray, " xyz"], thing: Float64[np.ndarray, " xyz"]) -> bool:
    """Whether the fingertips' centre is at the object."""
    return bool(np.linalg.norm(fingertips - thing) < REACHED_WITH_A_KNUCKLE_M.get(task, REACHED_M))


def stages(
    task: str,
    fingertips: Float64[np.ndarray, " xyz"],
    thing: Float64[np.ndarray, " xyz"],
    when_reached: Float64[np.ndarray, " xyz"] | None,
) -> dict[str, bool]:
    """The stages before success, in order: whether each holds now.

    Args:
        thing: the object's point.
        when_reached: where it was when the fingertips first came near; `None` if they never did.
    """
    if task in WITHOUT_OBJECT:
        return {}
    moved_m = MOVED_A_LITTLE_M.get(task, MOVED_M)
    moved = when_reached is not None and bool(np.linalg.norm(thing - when_reached) > moved_m)
    return {"reached": is_near(task, fingertips, thing), "moved": moved}
