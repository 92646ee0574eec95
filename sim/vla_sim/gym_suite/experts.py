"""Scripted experts for robosuite's Lift and Stack: waypoints of the gripper, read from the simulator.

above the cube ─► at it ─► close ─► up ─► above the other ─► onto it ─► open ─► up
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from vla.embodiment import Embodiment
from vla_sim.gym_suite.environment import Expert, ExpertMaker
from vla_sim.gym_suite.mapping import GymMapping, Maker

OPENED, CLOSED = -1.0, 1.0
"""The gripper's command, as robosuite has it."""
_GAIN = 1.5
"""Of the distance to go, commanded in each step."""
_MOST_STEPS = 60
"""At one waypoint: one that cannot be reached is left behind."""


@dataclasses.dataclass(frozen=True)
class Waypoint:
    """Where the gripper goes next."""

    body: str
    """The attribute of robosuite's task that holds the id of what it is relative to."""
    offset_m: float
    """Above it."""
    gripper: float
    near_m: float = 0.01
    steps: int = 1
    """To stay there."""


LIFT = (
    Waypoint("cube_body_id", 0.1, OPENED, near_m=0.02),
    Waypoint("cube_body_id", 0.0, OPENED, steps=2),
    Waypoint("cube_body_id", 0.0, CLOSED, near_m=0.05, steps=8),
    Waypoint("cube_body_id", 0.15, CLOSED, near_m=0.0),
)
STACK = (
    Waypoint("cubeA_body_id", 0.1, OPENED, near_m=0.02),
    Waypoint("cubeA_body_id", 0.0, OPENED, steps=2),
    Waypoint("cubeA_body_id", 0.0, CLOSED, near_m=0.05, steps=8),
    Waypoint("table", 0.2, CLOSED, near_m=0.03),
    Waypoint("cubeB_body_id", 0.15, CLOSED, steps=2),
    Waypoint("cubeB_body_id", 0.055, CLOSED, steps=2),
    Waypoint("cubeB_body_id", 0.055, OPENED, near_m=0.05, steps=6),
    Waypoint("cubeB_body_id", 0.2, OPENED, near_m=0.03, steps=20),
)
EXPERTS = {"Lift": LIFT, "Stack": STACK}
"""By robosuite's name of the task."""


class WaypointExpert:
    """Goes from waypoint to waypoint with the gripper's orientation as it began."""

    def __init__(self, waypoints: Sequence[Waypoint], body: Embodiment) -> None:
        self._waypoints = waypoints
        self._body = body
        self._index = self._spent = self._stayed = 0

    def action(self, environment: Any) -> Float32[np.ndarray, " action_dim"]:
        """A step toward the present waypoint; at the last one it stays."""
        waypoint = self._waypoints[self._index]
        raw = environment.unwrapped
        tip = np.asarray(raw.seen["robot0_eef_pos"], np.float64)
        way = _target(raw.task, waypoint, tip) - tip
        self._stayed = self._stayed + 1 if np.linalg.norm(way) <= waypoint.near_m else 0
        self._spent += 1
        is_last = self._index == len(self._waypoints) - 1
        if not is_last and (self._stayed >= waypoint.steps or self._spent >= _MOST_STEPS):
            self._index, self._spent, self._stayed = self._index + 1, 0, 0
        action = np.zeros(self._body.action_dim, np.float32)
        action[:3] = _GAIN * way
        action[-1] = waypoint.gripper
        return np.clip(action, self._body.action_low, self._body.action_high)


def _target(task: Any, waypoint: Waypoint, tip: Float64[np.ndarray, " xyz"]) -> Float64[np.ndarray, " xyz"]:
    if waypoint.body == "table":
        return np.array([tip[0], tip[1], task.table_offset[2] + waypoint.offset_m])
    place = np.array(task.sim.data.body_xpos[getattr(task, waypoint.body)], np.float64)
    place[2] += waypoint.offset_m
    return place


def expert_maker(mapping: GymMapping) -> ExpertMaker | None:
    """What makes the experts of a mapping's tasks; None if there are none."""
    if mapping.maker is not Maker.ROBOSUITE:
        return None
    return _RobosuiteExperts(mapping)


@dataclasses.dataclass(frozen=True)
class _RobosuiteExperts:
    mapping: GymMapping

    def __call__(self, task: str) -> Expert | None:
        """The expert of a task, at its beginning."""
        waypoints = EXPERTS.get(self.mapping.tasks[task].environment)
        return None if waypoints is None else WaypointExpert(waypoints, self.mapping.embodiment)
