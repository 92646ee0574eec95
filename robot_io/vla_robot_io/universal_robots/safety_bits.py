"""What a controller of Universal Robots says of its own state, and what an operator can do about it.

Source: Universal Robots, "Real-Time Data Exchange (RTDE) Guide", safety_status_bits, robot_status_bits, robot_mode.
"""

from __future__ import annotations

from vla_robot_io.links.link import Trouble

RUNNING = 7
"""The robot mode in which brakes are released and programs move the arm."""
PROGRAM_RUNNING = 1 << 1
"""Of robot_status_bits."""
UNLOCK_AFTER_S = 5.0
"""The controller itself refuses to unlock a protective stop earlier."""
_MODES = {
    -1: "has no controller",
    0: "is disconnected",
    1: "confirms its safety settings",
    2: "boots",
    3: "is powered off",
    4: "powers on",
    5: "is idle, its brakes are on",
    6: "is moved by hand",
    8: "updates its firmware",
}
_STOPS = (
    (
        (1 << 5) | (1 << 6) | (1 << 7),
        Trouble("emergency_stop", "an emergency stop is pressed: release it at the robot"),
    ),
    (1 << 4, Trouble("safeguard_stop", "the safeguard has stopped the arm: close it, and reset it at the robot")),
    (
        1 << 2,
        Trouble(
            "protective_stop",
            "the controller stopped the arm: look what it met, and make room",
            is_clearable=True,
            wait_s=UNLOCK_AFTER_S,
        ),
    ),
    (1 << 8, Trouble("safety_violation", "a safety limit was violated: restart the safety system at the robot")),
    (1 << 9, Trouble("safety_fault", "the safety system is in fault: restart it at the robot")),
    (1 << 3, Trouble("recovery_mode", "a joint is beyond a safety limit: move it back by hand")),
    (1 << 10, Trouble("safety_stop", "the safety system has stopped the arm: see the pendant")),
)
"""The most serious first: an emergency stop sets other bits too."""


def trouble_in(safety_bits: int, robot_mode: int) -> Trouble | None:
    """Why the arm will not move, if it will not."""
    for bits, trouble in _STOPS:
        if safety_bits & bits:
            return trouble
    if robot_mode != RUNNING:
        told = _MODES.get(robot_mode, f"is in mode {robot_mode}")
        return Trouble("not_running", f"the robot {told}: power it on and release its brakes at the pendant")
    return None
