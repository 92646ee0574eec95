"""Bullet's way of moving a world from one control step to the next.

    MjData ──load──► Bullet's bodies ── physics steps ──► Bullet's bodies ──store──► MjData ──► tasks, cameras, save

Every control step begins from the numbers in MjData alone: what Bullet remembers besides positions and velocities,
such as its contacts and the impulses that it would begin its next solution with, is dropped first. So a state that was
saved is a state, whichever world it is restored in, and goes on bit by bit.
"""

from __future__ import annotations

import weakref

import mujoco
import numpy as np
from jaxtyping import Float64

from vla_sim.worlds.bullet_bodies import Body, build
from vla_sim.worlds.bullet_library import disconnect, pybullet
from vla_sim.worlds.physics import num_substeps

PHYSICS_DT_S = 0.005
"""MuJoCo's own. Half of it costs twice as much, and experts succeed as often."""
SOLVER_ITERATIONS = 50
CONTACT_ERP = 0.2
"""Share of a penetration that is undone in a physics step."""
SERVO_GAIN = 0.5
"""Share of a position error that a servo undoes in a physics step, within its force."""


class BulletPhysics:
    """Bullet moves MuJoCo's data: one client of its own, in this process."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, control_hz: float) -> None:
        """Move `data`.

        Args:
            model: of the world; it may change between scenes.
            data: whose `ctrl` holds the arm's joints, then the fingers.
            control_hz: control steps a second.

        Raises:
            ConfigError: if PyBullet is not installed.
            ValueError: if the physics step does not divide the control step.
        """
        self._substeps = num_substeps(control_hz, PHYSICS_DT_S)
        self._bullet = pybullet()
        self._client = self._bullet.connect(self._bullet.DIRECT)
        weakref.finalize(self, disconnect, self._client)
        self._model = model
        self._data = data
        self._control_dt_s = 1.0 / control_hz
        self._bodies: list[Body] = []

    def begin(self) -> None:
        mujoco.mj_forward(self._model, self._data)
        self._bullet.resetSimulation(physicsClientId=self._client)
        self._bullet.setPhysicsEngineParameter(
            fixedTimeStep=PHYSICS_DT_S,
            numSolverIterations=SOLVER_ITERATIONS,
            solverResidualThreshold=0.0,
            contactERP=CONTACT_ERP,
            collisionFilterMode=1,
            deterministicOverlappingPairs=1,
            physicsClientId=self._client,
        )
        self._bullet.setGravity(*self._model.opt.gravity.tolist(), physicsClientId=self._client)
        self._bodies = build(self._bullet, self._client, self._model, self._data)
        arm = self._model.nu - 2
        joints, opening_m = self._data.ctrl[:arm].copy(), float(self._data.ctrl[arm])
        self.drive(joints, joints, opening_m)
        self._data.time = 0.0

    def drive(
        self, begin: Float64[np.ndarray, " joints"], end: Float64[np.ndarray, " joints"], opening_m: float
    ) -> None:
        control, arm = self._data.ctrl, len(begin)
        self._load()
        self._prepare()
        speeds = np.zeros(self._model.nu)
        speeds[:arm] = (end - begin) / self._control_dt_s
        control[arm:] = opening_m
        for substep in range(1, self._substeps + 1):
            control[:arm] = begin + (end - begin) * (substep / self._substeps)
            self._push(speeds)
            self._bullet.stepSimulation(physicsClientId=self._client)
        self._store()
        self._data.time += self._control_dt_s
        mujoco.mj_fwdPosition(self._model, self._data)

    def touching(self) -> list[tuple[int, int]]:
        self._load()
        self._bullet.performCollisionDetection(physicsClientId=self._client)
        where = {(body.number, link): b for body in self._bodies for link, b in enumerate(body.bodies, start=-1)}
        points = self._bullet.getContactPoints(physicsClientId=self._client)
        return [(where[point[1], point[3]], where[point[2], point[4]]) for point in points if point[8] < 0.0]

    # ------------------------------------------------------------------ state

    def _load(self) -> None:
        """Take the state from MuJoCo's data, and forget everything else."""
        bullet, client, data = self._bullet, self._client, self._data
        for body in self._bodies:
            if body.free_qpos >= 0:
                self._load_free(body)
            for joint in body.joints:
                position, speed = float(data.qpos[joint.qpos]), float(data.qvel[joint.dof])
                bullet.resetJointState(body.number, joint.link, position, speed, physicsClientId=client)
            for link, group, mask in body.filters:
                # As a side effect this takes the shape out of the broad phase, with its contacts, and puts it in again.
                bullet.setCollisionFilterGroupMask(body.number, link, group, mask, physicsClientId=client)

    def _load_free(self, body: Body) -> None:
        """MuJoCo moves a body's origin, and Bullet its centre of mass."""
        number, data, root = body.number, self._data, body.bodies[0]
        origin, turn = data.qpos[body.free_qpos :][:3], data.qpos[body.free_qpos + 3 :][:4]
        velocity, spin = data.qvel[body.free_dof :][:3], np.zeros(3)
        mujoco.mju_rotVecQuat(spin, data.qvel[body.free_dof + 3 :][:3], turn)
        arm, centre_turn = np.zeros(3), np.zeros(4)
        mujoco.mju_rotVecQuat(arm, self._model.body_ipos[root], turn)
        mujoco.mju_mulQuat(centre_turn, turn, self._model.body_iquat[root])
        w, x, y, z = centre_turn.tolist()
        self._bullet.resetBasePositionAndOrientation(
            number, (origin + arm).tolist(), [x, y, z, w], physicsClientId=self._client
        )
        moving = velocity + np.cross(spin, arm)
        self._bullet.resetBaseVelocity(number, moving.tolist(), spin.tolist(), physicsClientId=self._client)

    def _store(self) -> None:
        """Write the state into MuJoCo's data."""
        data = self._data
        for body in self._bodies:
            if body.free_qpos >= 0:
                self._store_free(body)
            if not body.joints:
                continue
            states = self._states(body)
            for joint, (position, speed) in zip(body.joints, states, strict=True):
                data.qpos[joint.qpos], data.qvel[joint.dof] = position, speed

    def _store_free(self, body: Body) -> None:
        data, root = self._data, body.bodies[0]
        centre, (x, y, z, w) = self._bullet.getBasePositionAndOrientation(body.number, physicsClientId=self._client)
        moving, spin = self._bullet.getBaseVelocity(body.number, physicsClientId=self._client)
        turn, back, arm, local_spin = np.zeros(4), np.zeros(4), np.zeros(3), np.zeros(3)
        mujoco.mju_negQuat(back, self._model.body_iquat[root])
        mujoco.mju_mulQuat(turn, np.array([w, x, y, z]), back)
        mujoco.mju_normalize4(turn)
        mujoco.mju_rotVecQuat(arm, self._model.body_ipos[root], turn)
        mujoco.mju_negQuat(back, turn)
        mujoco.mju_rotVecQuat(local_spin, np.array(spin), back)
        data.qpos[body.free_qpos :][:3], data.qpos[body.free_qpos + 3 :][:4] = np.array(centre) - arm, turn
        data.qvel[body.free_dof :][:3] = np.array(moving) - np.cross(spin, arm)
        data.qvel[body.free_dof + 3 :][:3] = local_spin

    def _states(self, body: Body) -> list[tuple[float, float]]:
        """Position and speed of each joint."""
        links = [joint.link for joint in body.joints]
        states = self._bullet.getJointStates(body.number, links, physicsClientId=self._client)
        return [(position, speed) for position, speed, *_ in states]

    # ------------------------------------------------------------------ forces

    def _prepare(self) -> None:
        """Dry friction of joints that nothing drives; what holds weightless links up in this control step."""
        mujoco.mj_fwdPosition(self._model, self._data)
        mujoco.mj_passive(self._model, self._data)
        for body in self._bodies:
            for joint in body.joints:
                if joint.actuator < 0:
                    self._bullet.setJointMotorControl2(
                        body.number,
                        joint.link,
                        self._bullet.VELOCITY_CONTROL,
                        targetVelocity=0,
                        force=float(self._model.dof_frictionloss[joint.dof]),
                        physicsClientId=self._client,
                    )

    def _push(self, speeds: Float64[np.ndarray, " actuators"]) -> None:
        """Servos to `ctrl`, springs, what holds weightless links up, and what a scene presses with."""
        for body in self._bodies:
            if not body.joints:
                continue
            self._push_servos(body, speeds)
            forces = []
            for joint, (position, _) in zip(body.joints, self._states(body), strict=True):
                given = float(self._data.qfrc_gravcomp[joint.dof] + self._data.qfrc_applied[joint.dof]) - joint.weight
                forces.append(given - joint.stiffness * (position - joint.rest))
            links = [joint.link for joint in body.joints]
            torque = self._bullet.TORQUE_CONTROL
            self._bullet.setJointMotorControlArray(
                body.number, links, torque, forces=forces, physicsClientId=self._client
            )

    def _push_servos(self, body: Body, speeds: Float64[np.ndarray, " actuators"]) -> None:
        driven = [joint for joint in body.joints if joint.actuator >= 0]
        if not driven:
            return
        actuators = [joint.actuator for joint in driven]
        self._bullet.setJointMotorControlArray(
            body.number,
            [joint.link for joint in driven],
            self._bullet.POSITION_CONTROL,
            targetPositions=self._data.ctrl[actuators].tolist(),
            targetVelocities=speeds[actuators].tolist(),
            forces=self._model.actuator_forcerange[actuators, 1].tolist(),
            positionGains=[SERVO_GAIN] * len(driven),
            velocityGains=[1.0] * len(driven),
            physicsClientId=self._client,
        )
