"""Forward and inverse kinematics of an arm whose gripper points down, shared by simulator and robot.

    pose = (x, y, z, yaw)     of the tool centre point in the base frame: m, m, m, rad

The gripper's approach axis points down, -z of the base; yaw turns it about the base's z axis, counter-clockwise seen
from above, and is 0 where the gripper's x axis is the base's. Inverse kinematics is mink's quadratic programme, warm
started: a few Newton-like steps from the joint positions commanded before, which is what a control loop wants.
"""

from __future__ import annotations

import importlib.resources
import math
from pathlib import Path

import mink
import mujoco
import numpy as np
from jaxtyping import Float64

from vla.errors import unknown

ARMS = ("panda", "ur5e", "so101")

MAX_ITERATIONS = 4
"""Of the inverse: after a move of 4 cm and 0.2 rad two or three leave less than 0.1 mm."""
TOLERANCE = 1e-4
"""m and rad: nearer than this the inverse stops."""
_REACH_ITERATIONS, _REACH_STEPS = 60, 20
_SETTLED = 5e-3
"""m and rad: nearer than this, a solution from the rest posture is the pose's own, but for what the posture pulls."""
POSTURE_COST = 2e-3
"""Pulls joints towards the rest posture, weakly against 1 for position: what settles a seventh joint."""
REST_POSTURE = np.array([0.0, 0.151, 0.0, -2.398, 0.0, 2.549, 0.785])
"""rad: the Panda's, the gripper 15 cm above the middle of the table."""


def arm_path(name: str) -> str:
    """The MuJoCo XML of an arm: one of ours, or the file of this name.

    Raises:
        ConfigError: if there is no arm of this name, and no such file.
    """
    if name.endswith(".xml") and Path(name).is_file():
        return name
    if name not in ARMS:
        raise unknown("arm", name, ARMS)
    return str(importlib.resources.files("vla.arms") / f"{name}.xml")


class ArmKinematics:
    """Forward and inverse kinematics of one arm; holds scratch memory, so one a thread."""

    def __init__(self, name: str = "panda") -> None:
        """Load the arm.

        Args:
            name: one of `ARMS`, or a MuJoCo XML of another, which `vla.arms.lacks` finds whole.

        Raises:
            ConfigError: if there is no arm of this name.
        """
        self.model = mujoco.MjModel.from_xml_path(arm_path(name))
        joints = [j for j in range(self.model.njnt) if self.model.jnt_type[j] == mujoco.mjtJoint.mjJNT_HINGE]
        self.joints = tuple(self.model.joint(j).name for j in joints)
        self.position_low: Float64[np.ndarray, " joints"] = self.model.jnt_range[joints, 0].copy()
        self.position_high: Float64[np.ndarray, " joints"] = self.model.jnt_range[joints, 1].copy()
        self.max_speed: Float64[np.ndarray, " joints"] = self.model.numeric("max_speed_rad_s").data.copy()
        self.max_acceleration: Float64[np.ndarray, " joints"] = self.model.numeric(
            "max_acceleration_rad_s2"
        ).data.copy()
        self.max_jerk: Float64[np.ndarray, " joints"] = self.model.numeric("max_jerk_rad_s3").data.copy()
        self.opening_low_m, self.opening_high_m = (float(v) for v in self.model.numeric("opening_m").data)
        self.rest_posture: Float64[np.ndarray, " joints"] = self.model.numeric("rest_rad").data.copy()
        """rad: the gripper down, above the middle of the table."""
        self._configuration = mink.Configuration(self.model)
        self._scratch = mujoco.MjData(self.model)
        tcp = self.model.site("tcp").id
        # Views of MuJoCo's memory: to ask for them anew takes longer than the kinematics.
        self._joint_positions = self._scratch.qpos[: len(joints)]
        self._tcp_position, self._tcp_rotation = self._scratch.site_xpos[tcp], self._scratch.site_xmat[tcp]
        self._frame = mink.FrameTask("tcp", "site", position_cost=1.0, orientation_cost=0.3)
        self._limits = [mink.ConfigurationLimit(self.model)]
        posture = mink.PostureTask(self.model, cost=POSTURE_COST)
        posture.set_target(self._whole(self.rest_posture))
        self._tasks = [self._frame, posture]

    def forward(self, positions: Float64[np.ndarray, " joints"]) -> Float64[np.ndarray, " pose"]:
        """The pose (x, y, z, yaw) of the tool centre point at these joint positions (rad)."""
        self._joint_positions[:] = positions
        mujoco.mj_kinematics(self.model, self._scratch)
        rotation = self._tcp_rotation
        return np.array([*self._tcp_position.tolist(), math.atan2(rotation[3], rotation[0])])

    def inverse(
        self,
        pose: Float64[np.ndarray, " pose"],
        start: Float64[np.ndarray, " joints"],
        max_iterations: int = MAX_ITERATIONS,
    ) -> Float64[np.ndarray, " joints"]:
        """Joint positions within the limits whose tool centre point is at `pose`, gripper down, or nearest to it.

        Depends on its arguments alone.

        Args:
            pose: x, y, z (m) and yaw (rad) in the base frame.
            start: joint positions (rad) to begin from; the nearer, the fewer iterations.
            max_iterations: 4 for one control step, about 50 from anywhere.
        """
        self._frame.set_target(_gripper_down(pose))
        self._configuration.update(self._whole(start))
        for _ in range(max_iterations):
            if np.abs(self._frame.compute_error(self._configuration)).max() < TOLERANCE:
                break
            step = mink.solve_ik(self._configuration, self._tasks, 1.0, "daqp", limits=self._limits)
            self._configuration.integrate_inplace(step, 1.0)
        solution = self._configuration.q[: len(self.joints)]
        return np.clip(solution, self.position_low, self.position_high)

    def reach(self, pose: Float64[np.ndarray, " pose"]) -> Float64[np.ndarray, " joints"]:
        """Joint positions for a pose, from the rest posture: at once, or where that does not settle, step by step.

        Depends on the pose alone. A pose that is out of reach gives the nearest that was found.

        Args:
            pose: x, y, z (m) and yaw (rad) in the base frame.
        """
        positions = self.inverse(pose, self.rest_posture, _REACH_ITERATIONS)
        if np.abs(self._frame.compute_error(self._configuration)).max() < _SETTLED:
            return positions
        rest = self.forward(self.rest_posture)
        positions = self.rest_posture
        for part in np.linspace(0.0, 1.0, _REACH_STEPS + 1)[1:]:
            positions = self.inverse(rest + part * (pose - rest), positions, MAX_ITERATIONS)
        return self.inverse(pose, positions, _REACH_ITERATIONS)

    def conditioning(self, positions: Float64[np.ndarray, " joints"]) -> float:
        """How singular a posture is: the condition number of the hand's Jacobian, over that of the rest posture.

        Metres and radians stand in the same matrix, and arms are of different sizes; the rest posture evens both out.
        """
        return self._condition(positions) / self._condition(self.rest_posture)

    def _condition(self, positions: Float64[np.ndarray, " joints"]) -> float:
        self._configuration.update(self._whole(positions))
        jacobian = self._configuration.get_frame_jacobian("tcp", "site")[:, : len(self.joints)]
        values = np.linalg.svd(jacobian, compute_uv=False)
        return float(values[0] / max(values[-1], np.finfo(np.float64).tiny))

    def _whole(self, positions: Float64[np.ndarray, " joints"]) -> Float64[np.ndarray, " qpos"]:
        """Joint positions of the model, fingers included, which stand still."""
        whole = np.zeros(self.model.nq)
        whole[: len(self.joints)] = positions
        return whole


def _gripper_down(pose: Float64[np.ndarray, " pose"]) -> mink.SE3:
    """Rz(yaw) Rx(pi): the half turn about x points the approach axis down."""
    x, y, z, yaw = pose
    return mink.SE3(wxyz_xyz=np.array([0.0, math.cos(yaw / 2), math.sin(yaw / 2), 0.0, x, y, z]))
