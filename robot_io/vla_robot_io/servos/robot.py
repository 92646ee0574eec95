"""The robot of driver `servos`: an arm on a bus with cameras, or the same arm emulated, with another one behind it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from vla.errors import unknown
from vla.interfaces import Clock, Robot
from vla.kinematics import ArmKinematics
from vla_robot_io.drivers import driver
from vla_robot_io.equipment import late_cameras, read_embodiment, require_options
from vla_robot_io.servos.arm_plant import ArmPlant, calibration_of
from vla_robot_io.servos.bus import LateWire, SerialWire, ServoBus
from vla_robot_io.servos.calibration import Calibration
from vla_robot_io.servos.emulator import EmulatedServos, LoopbackWire, ServoFaults
from vla_robot_io.servos.packets import DIALECTS
from vla_robot_io.servos.registers import MODELS, ServoModel
from vla_robot_io.servos.servo_arm import ServoArm, ServoArmConfig

RATE_HZ = 50.0
"""Commands a second."""


def make_robot(
    clock: Clock,
    *,
    instruction: str,
    seed: int,
    model: str = "sts3215",
    port: str = "",
    baud: int = 1_000_000,
    calibration: str = "",
    embodiment: str = "",
    cameras: dict[str, Any] | None = None,
    max_speed_rad_s: list[float] | None = None,
    arm: str = "so101",
    behind: str = "virtual",
    task: str | None = None,
    rate_hz: float = RATE_HZ,
) -> Robot:
    """An arm of servos.

    Args:
        clock: that the control loop goes by.
        instruction: what the policy will be told; for what is emulated also what the scene is made for.
        seed: of the scene of what is emulated.
        model: of the servos, a key of `MODELS`.
        port: serial port, or `serial=NUMBER` of the adapter behind it; empty to emulate the bus.
        baud: of the port.
        calibration: the file that `vla robot calibrate` wrote; needed with a port.
        embodiment: a JSON file of the embodiment, or a checkpoint's folder, whose embodiment it is; needed with a port.
        cameras: device of each of the embodiment's cameras: a number, a path or a video file; needed with a port.
        max_speed_rad_s: of each joint; that of the model of the arm if not given.
        arm: whose kinematics it has, one of `vla.kinematics.ARMS`.
        behind: the robot, by its entry point, that emulated servos move.
        task: whose scene to set up behind emulated servos, where the words alone do not tell.
        rate_hz: commands a second.

    Raises:
        ConfigError: naming what is unknown or missing.
    """
    if model not in MODELS:
        raise unknown("model of servos", model, MODELS)
    if not port:
        scene = {"instruction": instruction, "seed": seed, "arm": arm, "task": task}
        return emulated_robot(clock, MODELS[model], behind, rate_hz=rate_hz, scene=scene)
    needed = {"calibration": calibration, "embodiment": embodiment, "cameras": cameras}
    require_options(f"an arm at {port}", needed)
    body, kinematics = read_embodiment(Path(embodiment)), ArmKinematics(arm)
    dialect = DIALECTS[MODELS[model].dialect]
    speeds = tuple(max_speed_rad_s or kinematics.max_speed.tolist())
    accelerations, jerks = kinematics.max_acceleration.tolist(), kinematics.max_jerk.tolist()
    config = ServoArmConfig(f"{arm} at {port}", speeds, rate_hz, tuple(accelerations), tuple(jerks))
    eyes = late_cameras(body, cameras or {}, clock)
    bus = ServoBus(LateWire(lambda: SerialWire(port, baud)), dialect)
    servos = ServoArm(bus, MODELS[model], Calibration.load(Path(calibration)), config, clock)
    return Robot(servos, eyes, body, kinematics, arm, opens_late=True)


def emulated_robot(
    clock: Clock,
    model: ServoModel,
    behind: str,
    *,
    rate_hz: float = RATE_HZ,
    scene: dict[str, Any],
    faults: ServoFaults | None = None,
) -> Robot:
    """Another robot whose arm is moved by emulated servos: packets, ticks, registers and all.

    Args:
        behind: its entry point in the group `vla.robots`.
        scene: what that is to be made with.
        faults: of the bus.

    Raises:
        ConfigError: if there is no such entry point.
    """
    robot = driver(behind, "robot behind the servos")(clock, rate_hz=rate_hz, **scene)
    spec = robot.arm.spec
    calibration = calibration_of(spec, model)
    plant = ArmPlant(robot.arm, model, calibration)
    dialect = DIALECTS[model.dialect]
    servos = EmulatedServos(model, dialect, calibration.ids, clock, plant, faults)
    known = (spec.max_speed, spec.max_acceleration, spec.max_jerk)
    motion = [() if values is None else tuple(values.tolist()) for values in known]
    config = ServoArmConfig(f"emulated {spec.name}", motion[0], rate_hz, motion[1], motion[2])
    arm = ServoArm(ServoBus(LoopbackWire(servos), dialect), model, calibration, config, clock)
    # The robot behind is led to where it takes commands when this is made.
    return dataclasses.replace(robot, arm=arm, opens_late=False)
