"""The tabletop, modelled in MuJoCo, and moved by it unless other physics is given.

action ─► commanded pose ─► inverse kinematics ─► joint targets ─► position actuators ─► physics
          (clipped to the workspace)              (ramped over the control step, with the actuators' lag fed
                                                   forward, so that the arm is where it was told at its end)
"""

from __future__ import annotations

import copy
import math

import mujoco
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from vla.embodiment import Embodiment
from vla.errors import ActionError, ConfigError, unknown
from vla.kinematics import ArmKinematics
from vla_sim.worlds.benches import Bench, bench_of
from vla_sim.worlds.bullet_physics import BulletPhysics
from vla_sim.worlds.mujoco_variations import undo, vary
from vla_sim.worlds.physics import HIDDEN_GROUP, MujocoPhysics, PhysicsMaker
from vla_sim.worlds.rendering import Draw, shared_renderer
from vla_sim.worlds.scene import (
    BLOCK_SIZE_M,
    BUTTON_LATCHED_M,
    CARRIED,
    CLOSING_STEPS,
    CUP_GRASP_M,
    DRAWER_TRAVEL_M,
    HANDLE_OFFSET_M,
    PALETTE,
    SEEN_STEPS,
    SHOWN_STEPS,
    TABLETOP_CAST,
    Cast,
    Kind,
    Scene,
    Thing,
)
from vla_sim.worlds.tabletop import tabletop_model
from vla_sim.worlds.tile_drawings import drawing_material
from vla_sim.worlds.variations import NO_VARIATION, Variation

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
_PARKING = np.array([-3.0, 0.0, 1.0])
_LATCH_N = 4.0
"""More than a button's spring has, all the way down."""
_CUPS_FROM_M = 0.05
"""The height that cups come down from: below the fingers of an arm that rests."""
_STANDING = (Kind.PAD, Kind.BOWL, Kind.PLATE, Kind.TILE)
"""What has no joint."""
_TOP_OFFSET = {Kind.DRAWER: HANDLE_OFFSET_M, Kind.CUP: np.array([0.0, 0.0, CUP_GRASP_M])}
"""From a moving body's origin to the point that tasks speak of, at their table."""


class MujocoWorld:
    """One world: a copy of the shared model and its own state."""

    def __init__(
        self,
        embodiment: Embodiment | None = None,
        make_physics: PhysicsMaker = MujocoPhysics,
        *,
        arm: str = "panda",
        cast: Cast = TABLETOP_CAST,
        draw: Draw | None = None,
    ) -> None:
        """Make a world with an empty table.

        Args:
            embodiment: who acts there; the arm's own if not given.
            make_physics: what moves it.
            arm: a key of `vla_sim.worlds.benches.BENCHES`.
            cast: the things that scenes may hold.
            draw: what makes its pictures; the process's renderer if not given.

        Raises:
            ConfigError: if there is no such arm.
            ValueError: if the physics step does not divide the control step.
        """
        self._bench = bench_of(arm)
        self._embodiment = embodiment = embodiment or self._bench.embodiment
        self._cast = cast
        self._draw = draw
        self._shared = tabletop_model(arm=arm, cast=cast)
        self._model = copy.copy(self._shared)
        self._data = mujoco.MjData(self._model)
        self._physics = make_physics(self._model, self._data, embodiment.control_hz)
        self._kinematics = ArmKinematics(arm)
        number = len(self._kinematics.joints)
        self._joints, self._fingers = slice(0, number), slice(number, number + 2)
        self._finger_travel_m = self._kinematics.opening_high_m / 2
        self._low, self._high, self._leash = self._bench.workspace_low, self._bench.workspace_high, self._bench.leash
        self._max_joint_step = self._kinematics.max_speed * embodiment.control_dt_s
        self._state_size = mujoco.mj_stateSize(self._model, _STATE)
        self._tcp = self._model.site("tcp").id
        self._cameras = {self._model.camera(i).name: i for i in range(self._model.ncam)}
        self._gripper_bodies = {self._model.body(n).id for n in ("hand", "finger_left", "finger_right")}
        self._jacobian = np.zeros((3, self._model.nv))
        self._slots: dict[str, _Slot] = {}
        self._variation = NO_VARIATION
        self._scene: Scene | None = None
        self._commanded = np.zeros(4)
        self._commanded_joints = self._kinematics.rest_posture.copy()

    @property
    def embodiment(self) -> Embodiment:
        return self._embodiment

    @property
    def bench(self) -> Bench:
        return self._bench

    # ------------------------------------------------------------------ beginning

    def reset(self, scene: Scene) -> None:
        self._require_cast(scene)
        self._require_known(scene)
        self._vary(scene.variation)
        self._scene = scene
        mujoco.mj_resetData(self._model, self._data)
        self._slots = {}
        used: dict[Kind, int] = dict.fromkeys(Kind, 0)
        for thing in scene.things:
            slot = _Slot(self._model, thing.kind, used[thing.kind], self._bench.scale)
            used[thing.kind] += 1
            slot.show(self._shared, self._model, self._data, thing)
            self._slots[thing.name] = slot
        self._park(used)
        self._commanded = np.clip(scene.pose, self._low, self._high)
        self._commanded_joints = self._kinematics.reach(self._commanded)
        self._data.qpos[self._joints] = self._commanded_joints
        self._data.qpos[self._fingers] = scene.gripper * self._finger_travel_m
        self._data.ctrl[self._joints] = self._commanded_joints
        self._data.ctrl[self._fingers] = scene.gripper * self._finger_travel_m
        self._cover(0.0)
        self._physics.begin()
        self._cover(0.0)

    def _require_cast(self, scene: Scene) -> None:
        for kind in Kind:
            wanted, there = len(scene.of_kind(kind)), self._cast.number(kind)
            if wanted > there:
                raise ValueError(
                    f"the scene holds {wanted} things of kind '{kind.value}', and the cast '{self._cast.name}' has "
                    f"{there}: make the world with a cast that has as many"
                )

    def _vary(self, variation: Variation) -> None:
        """Undo the last variation, and write this one into the model."""
        if self._variation != NO_VARIATION:
            undo(self._model, self._shared)
        self._variation = variation
        if variation != NO_VARIATION:
            vary(self._model, variation, self._bench)

    def _park(self, used: dict[Kind, int]) -> None:
        for index, (kind, slot) in enumerate(_all_slots(self._model)):
            if slot >= used[kind]:
                _Slot(self._model, kind, slot).hide(self._model, self._data, _PARKING - [0, 0.5 * index, 0])

    # ------------------------------------------------------------------ acting

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Float32[np.ndarray, " action_dim"]:
        applied, joints = self._reachable(self._limited(action))
        if self._steps_so_far() < SHOWN_STEPS and self._scene is not None and self._scene.is_shown:
            return self._show(self._scene)
        self._commanded = self._commanded + applied[:4]
        self._shove()
        self._latch()
        begin, self._commanded_joints = self._commanded_joints, joints
        self._physics.drive(begin, joints, float(applied[4]) * self._finger_travel_m)
        return applied

    def _steps_so_far(self) -> int:
        return round(self._data.time * self._embodiment.control_hz)

    def _show(self, scene: Scene) -> Float32[np.ndarray, " action_dim"]:
        """One control step in which the arm rests, while what is to be remembered is seen, then covered."""
        closed = min(1.0, max(0.0, (self._steps_so_far() + 1 - SEEN_STEPS) / CLOSING_STEPS))
        is_settled = self._steps_so_far() >= SEEN_STEPS + CLOSING_STEPS
        if not is_settled:
            self._cover(closed)
        self._physics.drive(self._commanded_joints, self._commanded_joints, scene.gripper * self._finger_travel_m)
        if closed < 1.0:
            self._cover(closed)
        return np.array([0.0, 0.0, 0.0, 0.0, scene.gripper], np.float32)

    def _cover(self, closed: float) -> None:
        """Place cups and drawer, and what lies in it: open at 0, shut at 1. In scenes that are not shown nothing is."""
        if self._scene is None or not self._scene.is_shown:
            return
        scale, data = self._bench.scale, self._data
        drawn = (1.0 - closed) * scale * DRAWER_TRAVEL_M
        for index, thing in enumerate(self._scene.things):
            slot = self._slots[thing.name]
            if thing.kind is Kind.DRAWER:
                data.qpos[slot.qpos], data.qvel[slot.dof] = drawn, 0.0
            elif thing.kind is Kind.CUP:
                over = np.array([thing.x, thing.y, (1.0 - closed) * scale * _CUPS_FROM_M])
                away = _PARKING + np.array([0, 0.5 * (index + 1), 0])
                slot.put(self._model, data, over if closed > 0 else away, thing.yaw)
            elif thing.is_inside:
                slot.put(self._model, data, np.array([thing.x + drawn, thing.y, thing.z]), thing.yaw)
        mujoco.mj_fwdPosition(self._model, data)

    def _require_known(self, scene: Scene) -> None:
        """Return if this world's physics can do what the scene asks for."""
        if scene.latching and not isinstance(self._physics, MujocoPhysics | BulletPhysics):
            raise ConfigError("buttons that stay down are known to the physics of MuJoCo and Bullet alone")

    def _shove(self) -> None:
        """Strike a block, if the variation says that it is time."""
        shove = self._variation.shove
        if shove is not None and self._steps_so_far() == shove.step:
            dof = self._slot(shove.thing).dof
            # Friction stops it after a length that goes with the square of its speed.
            speed = math.sqrt(self._bench.scale) * np.array([shove.x_m_s, shove.y_m_s])
            self._data.qvel[dof : dof + 2] += speed

    def _latch(self) -> None:
        """Hold down the buttons that were pressed, if this scene's stay down: what is pressed is seen, and is state."""
        if self._scene is None or not self._scene.latching:
            return
        for slot in self._slots.values():
            if slot.kind is Kind.BUTTON:
                is_down = self._data.qpos[slot.qpos] > self._bench.scale * BUTTON_LATCHED_M
                self._data.qfrc_applied[slot.dof] = _LATCH_N if is_down else 0.0

    def _limited(self, action: Float32[np.ndarray, " action_dim"]) -> Float32[np.ndarray, " action_dim"]:
        """The action within the embodiment's limits, the workspace and the leash."""
        if action.shape != (self._embodiment.action_dim,) or not np.isfinite(action).all():
            raise ActionError(f"expected {self._embodiment.action_dim} finite numbers as an action, got {action}")
        low, high = self._embodiment.action_low, self._embodiment.action_high
        limited = np.clip(action, low, high).astype(np.float64)
        wanted, measured = self._commanded + limited[:4], self.end_effector()
        pose = np.clip(wanted, measured - self._leash, measured + self._leash).clip(self._low, self._high)
        limited[:4] = np.where(pose == wanted, limited[:4], pose - self._commanded)
        # What is reported is what is done, to the last bit: so that an episode replays from its actions.
        return limited.astype(np.float32)

    def _reachable(
        self, action: Float32[np.ndarray, " action_dim"]
    ) -> tuple[Float32[np.ndarray, " action_dim"], Float64[np.ndarray, " joints"]]:
        """The action and its joint positions, the motion shortened until no joint exceeds its speed."""
        begin = self._commanded_joints
        joints = self._kinematics.inverse(self._commanded + action[:4], begin)
        excess = float((np.abs(joints - begin) / self._max_joint_step).max())
        if excess <= 1.0:
            return action, joints
        shortened = np.append(action[:4] / (1.02 * excess), action[4]).astype(np.float32)
        joints = self._kinematics.inverse(self._commanded + shortened[:4], begin)
        return shortened, begin + np.clip(joints - begin, -self._max_joint_step, self._max_joint_step)

    def save(self) -> Float64[np.ndarray, " numbers"]:
        physics = np.empty(self._state_size)
        mujoco.mj_getState(self._model, self._data, physics, _STATE)
        return np.concatenate([physics, self._commanded, self._commanded_joints])

    def restore(self, state: Float64[np.ndarray, " numbers"]) -> None:
        physics, commanded, joints = np.split(state, [self._state_size, self._state_size + 4])
        mujoco.mj_setState(self._model, self._data, physics, _STATE)
        self._commanded, self._commanded_joints = commanded.copy(), joints.copy()
        mujoco.mj_fwdPosition(self._model, self._data)

    # ------------------------------------------------------------------ reading the arm

    def time_s(self) -> float:
        return float(self._data.time)

    def end_effector(self) -> Float64[np.ndarray, " pose"]:
        rotation = self._data.site_xmat[self._tcp]
        return np.array([*self._data.site_xpos[self._tcp], math.atan2(rotation[3], rotation[0])])

    def commanded(self) -> Float64[np.ndarray, " pose"]:
        return self._commanded.copy()

    def end_effector_speed(self) -> float:
        mujoco.mj_jacSite(self._model, self._data, self._jacobian, None, self._tcp)
        return float(np.linalg.norm(self._jacobian @ self._data.qvel))

    def opening_m(self) -> float:
        return float(self._data.qpos[self._fingers].sum())

    def proprioception(self) -> Float32[np.ndarray, " state_dim"]:
        joints = self._data.qpos[self._joints]
        return np.array([*joints, self.opening_m(), *self.end_effector()], np.float32)

    # ------------------------------------------------------------------ reading things

    def position(self, name: str) -> Float64[np.ndarray, " xyz"]:
        slot = self._slot(name)
        return self._data.xpos[slot.body] + self._bench.scale * _TOP_OFFSET.get(slot.kind, 0.0)

    def yaw(self, name: str) -> float:
        rotation = self._data.xmat[self._slot(name).body]
        return math.atan2(rotation[3], rotation[0])

    def speed(self, name: str) -> float:
        dof = self._slot(name).dof
        return float(np.linalg.norm(self._data.qvel[dof : dof + 3]))

    def is_touched(self, name: str) -> bool:
        body = self._slot(name).body
        touching = self._physics.touching()
        return any(
            (first == body and second in self._gripper_bodies) or (second == body and first in self._gripper_bodies)
            for first, second in touching
        )

    def displacement(self, name: str) -> float:
        return float(self._data.qpos[self._slot(name).qpos])

    def _slot(self, name: str) -> _Slot:
        slot = self._slots.get(name)
        if slot is None:
            raise unknown("thing", name, self._slots)
        return slot

    # ------------------------------------------------------------------ seeing

    def render(self, camera: str, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        draw = self._draw or shared_renderer(self._shared).render
        return draw(self._model, self._data, self._camera(camera), height, width)

    def project(self, camera: str, point: Float64[np.ndarray, " xyz"]) -> Float64[np.ndarray, " uv"]:
        index = self._camera(camera)
        spec = self._embodiment.camera(camera)
        right, up, backward = (point - self._data.cam_xpos[index]) @ self._data.cam_xmat[index].reshape(3, 3)
        tangent = math.tan(math.radians(self._model.cam_fovy[index]) / 2)
        u, v = right / (-backward * tangent * spec.width / spec.height), -up / (-backward * tangent)
        return np.array([(u + 1) / 2, (v + 1) / 2])

    def _camera(self, name: str) -> int:
        if name not in self._cameras:
            raise unknown("camera", name, self._cameras)
        return self._cameras[name]


class _Slot:
    """The bodies, joint and geoms that stand for one thing."""

    def __init__(self, model: mujoco.MjModel, kind: Kind, index: int, scale: float = 1.0) -> None:
        """Find them; `scale` is the bench's."""
        name = f"{kind.value}_{index}"
        self._block_height_m = scale * BLOCK_SIZE_M / 2
        self.kind = kind
        self.root = model.body(name).id
        moving = {Kind.BUTTON: f"{name}_cap", Kind.DRAWER: f"{name}_drawer"}.get(kind, name)
        self.body = model.body(moving).id
        self.geoms = [g for g in range(model.ngeom) if model.geom_bodyid[g] in (self.root, self.body)]
        joint = -1 if kind in _STANDING else model.joint(name).id
        self.qpos = int(model.jnt_qposadr[joint]) if joint >= 0 else -1
        self.dof = int(model.jnt_dofadr[joint]) if joint >= 0 else -1
        self.geom = self.geoms[-1]

    def show(self, shared: mujoco.MjModel, model: mujoco.MjModel, data: mujoco.MjData, thing: Thing) -> None:
        model.geom_group[self.geoms] = shared.geom_group[self.geoms]
        model.body_gravcomp[self.root] = shared.body_gravcomp[self.root]
        self.put(model, data, np.array([thing.x, thing.y, thing.z]), thing.yaw)
        if thing.kind is Kind.BUTTON:
            model.geom_rgba[self.geom] = (*PALETTE[thing.colour], 1.0)
        elif thing.kind is Kind.TILE:
            model.geom_rgba[self.geoms[0]] = (*PALETTE[thing.colour], 1.0)
            model.geom_matid[self.geoms[1]] = drawing_material(model, thing.drawing)
        elif thing.kind not in (Kind.DRAWER, Kind.CUP):
            model.geom_rgba[self.geoms] = (*PALETTE[thing.colour], 1.0)

    def hide(self, model: mujoco.MjModel, data: mujoco.MjData, position: np.ndarray) -> None:
        """Out of sight, out of reach, and weightless, so that it stays there."""
        model.geom_group[self.geoms] = HIDDEN_GROUP
        model.body_gravcomp[self.root] = 1.0
        self.put(model, data, position, 0.0)

    def put(self, model: mujoco.MjModel, data: mujoco.MjData, position: np.ndarray, yaw: float) -> None:
        """Put it there, at rest, standing on this point."""
        quaternion = [math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2)]
        if self.kind in CARRIED or self.kind is Kind.CUP:
            height = 0.0 if self.kind is Kind.CUP else self._block_height_m
            data.qpos[self.qpos : self.qpos + 3] = position + np.array([0, 0, height])
            data.qpos[self.qpos + 3 : self.qpos + 7] = quaternion
            data.qvel[self.dof : self.dof + 6] = 0.0
        else:
            model.body_pos[self.root], model.body_quat[self.root] = position, quaternion


def _all_slots(model: mujoco.MjModel) -> list[tuple[Kind, int]]:
    names = {model.body(i).name for i in range(model.nbody)}
    return [(kind, index) for kind in Kind for index in range(8) if f"{kind.value}_{index}" in names]
