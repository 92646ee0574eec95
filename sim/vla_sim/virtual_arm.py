"""The virtual arm: the tabletop behind the protocol of a real arm, found through the entry point `virtual`.

    write(command) ─► ramp over one command period ─► position actuators ─┐
    clock ──────────► as many physics steps as time has passed ───────────┴─► read(), cameras

Whoever commands it cannot tell it from hardware: it moves while nobody looks, lags, has a clock of its own, and
takes joint positions and nothing else. Whether the task is done, it tells the report, never a policy.
"""

from __future__ import annotations

import math

import mujoco
import numpy as np
from jaxtyping import Float64

from vla.arm_modes import ArmModes
from vla.embodiment import CameraSpec
from vla.errors import ConfigError
from vla.interfaces import Applied, ArmCommand, ArmMode, ArmSpec, ArmState, CameraFrame, Clock, EpisodeSpec, Robot
from vla.kinematics import ArmKinematics
from vla_sim.environment import begin
from vla_sim.tasks import TASKS
from vla_sim.worlds.mujoco_world import MujocoWorld
from vla_sim.worlds.physics import actuator_lag_s, num_substeps
from vla_sim.worlds.scene import Scene
from vla_sim.worlds.table_view import table_view

RATE_HZ = 100.0
"""Commands a second."""


def make_robot(
    clock: Clock, *, instruction: str, seed: int, task: str | None = None, rate_hz: float = RATE_HZ, arm: str = "panda"
) -> Robot:
    """An arm at its table, with a scene in which the instruction can be followed.

    Args:
        clock: by which physics goes on.
        instruction: what the policy will be told; its words choose the task and the colours of the scene.
        seed: of the scene.
        task: whose scene to set up, where the words alone do not tell.
        rate_hz: commands a second.
        arm: `panda`, `ur5e` or `so101`.

    Raises:
        ConfigError: if no task's templates read the instruction and no task is given, or there is no such task or arm.
        ValueError: if the physics step does not divide the command period.
    """
    attempt = begin(EpisodeSpec(task=task or task_of(instruction), seed=seed, instruction=instruction))
    world = LiveWorld(clock, attempt.scene, rate_hz, arm)
    table = table_view(world)
    return Robot(
        arm=VirtualArm(world, clock, rate_hz),
        cameras=tuple(VirtualCamera(world, spec) for spec in world.embodiment.cameras),
        embodiment=world.embodiment,
        kinematics=ArmKinematics(arm),
        arm_model=arm,
        is_done=lambda: attempt.task.success(table, attempt.names),
        is_simulated=True,
        twin=WorldTwin(world),
    )


def task_of(instruction: str) -> str:
    """The name of the task whose templates read this instruction.

    Raises:
        ConfigError: if there is none.
    """
    for task in TASKS.values():
        if task.match(instruction) is not None:
            return task.name
    example = next(iter(TASKS.values())).training[0].format("red")
    raise ConfigError(
        f"no task's words fit the instruction '{instruction}': say it like '{example}', "
        f"or name the scene to set up with options={{task: NAME}} (choices: {', '.join(sorted(TASKS))})"
    )


class LiveWorld(MujocoWorld):
    """A tabletop that goes on by a clock, its arm driven joint by joint."""

    def __init__(self, clock: Clock, scene: Scene, rate_hz: float, arm: str = "panda") -> None:
        """Begin with a scene of the tasks' table.

        Raises:
            ConfigError: if there is no such arm.
            ValueError: if the physics step does not divide the command period.
        """
        super().__init__(arm=arm)
        self.reset(self.bench.scene(scene))
        self._clock = clock
        self._origin_s = clock.now()
        self._physics_dt_s = self._model.opt.timestep
        self._ramp_steps = num_substeps(rate_hz, self._physics_dt_s)
        self._ramped = self._ramp_steps
        self._lag_s = actuator_lag_s(self._model)
        self._begin = self._end = self._commanded_joints.copy()
        self._is_shown = False
        self.num_steps = 0
        """Physics steps so far: the device's own clock."""

    def command(self, positions: Float64[np.ndarray, " joints"], gripper_m: float) -> None:
        """Ramp to these joint positions (rad) in one command period, from where the last ramp has got to."""
        self.advance()
        self._begin, self._end, self._ramped = self._setpoint(), positions.copy(), 0
        self._data.ctrl[self._fingers] = gripper_m / 2

    def target(self) -> tuple[Float64[np.ndarray, " joints"], float]:
        """Joint positions (rad) and opening (m) that were last commanded."""
        return self._end.copy(), float(self._data.ctrl[self._fingers].sum())

    def show(self, state: Float64[np.ndarray, " numbers"], num_steps: int, stepped_s: float) -> None:
        """Be in this state, which was reached after so many steps, and go on no more by yourself."""
        self.restore(state)
        self.num_steps, self._origin_s = num_steps, stepped_s - num_steps * self._physics_dt_s
        self._is_shown = True

    def advance(self) -> None:
        """Let physics catch up with the clock."""
        if self._is_shown:
            return
        due = math.floor((self._clock.now() - self._origin_s) / self._physics_dt_s + 1e-6)
        if due <= self.num_steps:
            return
        while self.num_steps < due:
            self._physics_step()
        # Positions and contacts of this state, not of the one before the last integration.
        mujoco.mj_fwdPosition(self._model, self._data)

    def joint_positions(self) -> Float64[np.ndarray, " joints"]:
        """Measured, rad."""
        return self._data.qpos[self._joints].copy()

    def joint_velocities(self) -> Float64[np.ndarray, " joints"]:
        """Measured, rad/s."""
        return self._data.qvel[self._joints].copy()

    @property
    def device_time_s(self) -> float:
        return self.num_steps * self._physics_dt_s

    @property
    def stepped_s(self) -> float:
        """The time, by the clock, of the state that the world is in."""
        return self._origin_s + self.device_time_s

    def _physics_step(self) -> None:
        """The actuators lag behind a ramp by a known time, which is fed forward: `MujocoPhysics` does the same."""
        is_moving = self._ramped < self._ramp_steps
        self._ramped += is_moving
        ahead = self._lag_s * (self._end - self._begin) / (self._ramp_steps * self._physics_dt_s)
        self._data.ctrl[self._joints] = self._setpoint() + is_moving * ahead
        mujoco.mj_step(self._model, self._data)
        self.num_steps += 1

    def _setpoint(self) -> Float64[np.ndarray, " joints"]:
        return self._begin + (self._end - self._begin) * (self._ramped / self._ramp_steps)


class WorldTwin:
    """A live world whose likeness another process can have."""

    def __init__(self, world: LiveWorld) -> None:
        self._world = world

    def save(self) -> Float64[np.ndarray, " numbers"]:
        world = self._world
        return np.array([*world.save(), world.num_steps, world.stepped_s])

    def show(self, numbers: Float64[np.ndarray, " numbers"]) -> None:
        self._world.show(numbers[:-2], int(numbers[-2]), float(numbers[-1]))


class VirtualArm:
    """The arm of a live world."""

    def __init__(self, world: LiveWorld, clock: Clock, rate_hz: float) -> None:
        """Take hold of the arm; nothing moves.

        Args:
            world: which goes on by `clock`.
            rate_hz: commands a second.
        """
        name, kinematics = f"virtual_{world.bench.arm}", ArmKinematics(world.bench.arm)
        self._world = world
        self._clock = clock
        self._spec = ArmSpec(
            name=name,
            joints=kinematics.joints,
            position_low=kinematics.position_low,
            position_high=kinematics.position_high,
            max_speed=kinematics.max_speed,
            max_acceleration=kinematics.max_acceleration,
            max_jerk=kinematics.max_jerk,
            gripper_low_m=kinematics.opening_low_m,
            gripper_high_m=kinematics.opening_high_m,
            rate_hz=rate_hz,
        )
        self._modes = ArmModes(name)
        self._commanded = Applied(*world.target())
        self._read_steps = -1

    @property
    def spec(self) -> ArmSpec:
        return self._spec

    @property
    def mode(self) -> ArmMode:
        return self._modes.mode

    def connect(self) -> None:
        self._modes.enter("connect")

    def configure(self) -> None:
        self._modes.enter("configure")

    def arm(self) -> None:
        self._modes.enter("arm")

    def run(self) -> None:
        self._modes.enter("run")

    def hold(self) -> None:
        self._modes.enter("hold")

    def fault(self, reason: str) -> None:
        self._modes.latch(reason)

    def acknowledge(self, reason: str) -> None:
        self._modes.acknowledge(reason)

    def close(self) -> None:
        self._modes.disconnect()

    def read(self) -> ArmState:
        self._modes.require_connected("read")
        world = self._world
        world.advance()
        before, self._read_steps = self._read_steps, world.num_steps
        return ArmState(
            positions=world.joint_positions(),
            velocities=world.joint_velocities(),
            gripper_m=world.opening_m(),
            commanded=self._commanded.positions.copy(),
            commanded_gripper_m=self._commanded.gripper_m,
            time_s=self._clock.now(),
            device_time_s=world.device_time_s,
            sequence=world.num_steps,
            mode=self.mode,
            fresh=world.num_steps > before,
            fault=self._modes.fault,
        )

    def write(self, command: ArmCommand) -> Applied:
        self._commanded = self._modes.admit(command, self._spec, self._clock.now())
        self._world.command(self._commanded.positions, self._commanded.gripper_m)
        return self._commanded


class VirtualCamera:
    """A camera of a live world: every physics step is a new picture, drawn when asked for."""

    def __init__(self, world: LiveWorld, spec: CameraSpec) -> None:
        self._world = world
        self._spec = spec
        self._last: CameraFrame | None = None

    @property
    def name(self) -> str:
        return self._spec.name

    def read(self) -> CameraFrame:
        self._world.advance()
        sequence = self._world.num_steps
        if self._last is None or sequence > self._last.sequence:
            image = self._world.render(self.name, self._spec.height, self._spec.width)
            self._last = CameraFrame(image, self._world.stepped_s, sequence)
        return self._last

    def close(self) -> None:
        """Nothing is held: the renderer belongs to the process."""
