"""What an xArm's controller means by its numbers, and what an operator can do about each.

Sources: xArm-Python-SDK 1.18.4, `x_code.py`, and its "xArm API Code Documentation". A number that is not in the table
is never cleared from here.
"""

from __future__ import annotations

from vla_robot_io.links.link import Trouble

IN_MOTION, SLEEPING, SUSPENDED, STOPPING = 1, 2, 3, 4
"""States, as reports tell them."""
SERVO_MODE = 1
"""The mode in which each command is a set-point."""
_AT_THE_ROBOT = {
    1: ("emergency_stop", "the emergency stop button is pressed: release it"),
    2: ("emergency_stop", "the emergency input of the controller is open: close it"),
    3: ("emergency_stop", "the three-state switch is released or pressed through: hold it in the middle"),
    26: ("controller_fault", "the controller's real-time system failed: restart it"),
}
_AFTER_A_LOOK = {
    19: ("end_effector", "the end effector does not answer: look at its cable"),
    21: ("kinematics", "there is no way to the pose: move away from it"),
    22: ("self_collision", "the arm would touch itself"),
    23: ("joint_limit", "a joint is at its limit"),
    24: ("speed_limit", "a joint would be too fast"),
    25: ("planning", "the controller found no way"),
    30: ("speed_limit", "a joint is faster than it was told"),
    31: ("collision", "the arm met something: make room"),
    35: ("safety_boundary", "the arm is at its safety boundary"),
    36: ("late_commands", "too many commands came too late"),
    38: ("joint_angle", "a joint's angle is not plausible"),
    60: ("speed_limit", "the tool would be too fast in servo mode"),
}
_SERVOS = range(10, 18)


def trouble_in(error: int, state: int) -> Trouble | None:
    """Why the arm will not move, if it will not.

    Args:
        error: the controller's error code, 0 for none.
        state: as reports tell it.
    """
    if error in _AT_THE_ROBOT:
        kind, text = _AT_THE_ROBOT[error]
        return Trouble(kind, f"{text} (C{error})")
    if error in _SERVOS:
        return Trouble("servo", f"a servo reports an error: restart the arm with its emergency stop button (C{error})")
    if error in _AFTER_A_LOOK:
        kind, text = _AFTER_A_LOOK[error]
        return Trouble(kind, f"{text} (C{error})", is_clearable=True)
    if error != 0:
        return Trouble("unknown_error", f"error C{error} is not in our table: see the maker's")
    if state in (SUSPENDED, STOPPING):
        return Trouble("stopped", "somebody stopped the arm, by its own software or another program", is_clearable=True)
    return None
