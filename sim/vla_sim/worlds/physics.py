"""What moves a world from one control step to the next, and MuJoCo's way of doing it.

    state in MjData ── physics.drive(joint targets) ──► state in MjData

A world keeps its whole state in MuJoCo's data, whoever moves it, so that what tasks read, what cameras see and what
is saved are the same code on every engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import mujoco
import numpy as np
from jaxtyping import Float64

HIDDEN_GROUP = 5
"""Geoms of this group belong to things that a scene does not have: nobody sees or meets them."""


@runtime_checkable
class Physics(Protocol):
    """Moves the state of one world; what it does follows from that state and its arguments alone."""

    def begin(self) -> None:
        """A scene has been set up: take it over, and let it settle for one control step."""
        ...

    def drive(
        self, begin: Float64[np.ndarray, " joints"], end: Float64[np.ndarray, " joints"], opening_m: float
    ) -> None:
        """One control step: the arm's joint targets go from `begin` to `end` (rad), each finger's to `opening_m`."""
        ...

    def touching(self) -> list[tuple[int, int]]:
        """The pairs of MuJoCo's bodies that touch now."""
        ...


type PhysicsMaker = Callable[[mujoco.MjModel, mujoco.MjData, float], Physics]
"""From a world's model, its data and the control steps a second."""


class MujocoPhysics:
    """MuJoCo moves its own data."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, control_hz: float) -> None:
        """Move `data`.

        Args:
            model: of the world; it may change between scenes.
            data: whose `ctrl` holds the arm's joints, then the fingers.
            control_hz: control steps a second.

        Raises:
            ValueError: if the physics step does not divide the control step.
        """
        self._model = model
        self._data = data
        self._control_hz = control_hz
        self._substeps = num_substeps(control_hz, model.opt.timestep)
        self._lag_s = actuator_lag_s(model)

    def begin(self) -> None:
        mujoco.mj_step(self._model, self._data, self._substeps)
        self._data.time = 0.0
        mujoco.mj_fwdPosition(self._model, self._data)

    def drive(
        self, begin: Float64[np.ndarray, " joints"], end: Float64[np.ndarray, " joints"], opening_m: float
    ) -> None:
        model, data, joints = self._model, self._data, len(begin)
        ahead = self._lag_s * (end - begin) * self._control_hz
        data.ctrl[joints:] = opening_m
        for substep in range(1, self._substeps + 1):
            data.ctrl[:joints] = begin + (end - begin) * (substep / self._substeps) + ahead
            mujoco.mj_step(model, data)
        # Positions and contacts of this state, not of the one before the last integration.
        mujoco.mj_fwdPosition(model, data)

    def touching(self) -> list[tuple[int, int]]:
        return [(int(first), int(second)) for first, second in self._model.geom_bodyid[self._data.contact.geom]]


def actuator_lag_s(model: mujoco.MjModel) -> Float64[np.ndarray, " joints"]:
    """How far an arm's position actuators lag behind a ramp: their damping over their stiffness."""
    arm = slice(0, model.nu - 2)
    return -model.actuator_biasprm[arm, 2] / model.actuator_gainprm[arm, 0]


def num_substeps(control_hz: float, physics_dt_s: float) -> int:
    """Physics steps in a control step.

    Raises:
        ValueError: if they do not divide it.
    """
    control_dt_s = 1.0 / control_hz
    steps = control_dt_s / physics_dt_s
    if abs(steps - round(steps)) > 1e-6 or round(steps) < 1:
        raise ValueError(
            f"control at {control_hz:g} Hz needs a physics step that divides {control_dt_s:.5f} s, "
            f"got {physics_dt_s:g} s ({steps:.2f} steps)"
        )
    return round(steps)
