"""`vla teleop`: a human drives an arm behind the safety envelope, and what they do is recorded. Not safety-rated.

device ─► action ─► the same control loop, envelope and recorder as `vla deploy` ─► episodes of a store
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from vla import cli
from vla.clock import RealClock
from vla.errors import ConfigError
from vla_policies.chunking import ExecutionConfig
from vla_robot_io.control_loop import ArmEnvironment, ControlConfig
from vla_robot_io.drivers import make_robot
from vla_robot_io.keeping import TELEOPERATION, Episodes, KeepConfig, Keeper
from vla_robot_io.late_camera import open_late
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.live_run import LiveRun, Task
from vla_robot_io.operating.attending import attended, console_beside
from vla_robot_io.placement import apart, placement_of, told_of
from vla_robot_io.reasons import NOT_SAFETY_RATED
from vla_robot_io.recording import RunRecorder, make_folder
from vla_robot_io.run_header import run_header
from vla_robot_io.teleoperation.choosing import By, DriveConfig


@dataclasses.dataclass
class TeleopConfig:
    """Drive an arm by hand, behind the safety envelope, and record what is done as episodes of a store.

    Nothing here is safety-rated: keep the arm's own emergency stop in your hand. The arm moves while the dead-man
    switch is held: a key, a button, a finger on a pad.
    """

    driver: str
    """The robot, by its entry point in the group `vla.robots`; `robot=virtual` sets it, `robot=custom` asks for it."""
    instruction: str
    """What is done, in words: it goes into every episode."""
    out: Path
    """Folder for the run's log; it must not hold a run already."""
    by: By = By.KEYBOARD
    """What it is driven with."""
    device: str = ""
    """Where that is: /dev/input/js0, /dev/hidraw3, a leader arm's serial port, STORE#EPISODE; looked for if empty."""
    scale: float = 0.5
    """A full push is this share of the largest step that the embodiment allows."""
    calibration: str = ""
    """Of a leader arm: the file that `vla robot calibrate` wrote."""
    model: str = "sts3215"
    """Of a leader arm's servos."""
    seconds: float = 600.0
    """How long the arm may act, s; waiting is not counted."""
    seed: int = 0
    """Of the scene if the robot is simulated."""
    speed: float = 1.0
    """At which time passes, above 0, at most 1."""
    process: bool | None = None
    """Hold the arm in a process of its own, which brakes when this one hangs or dies; as `vla deploy process=`."""
    film: bool = True
    """Write video.mp4."""
    console: bool = False
    """Open the operator's console beside the run; `by=browser` needs it."""
    console_port: int = 8090
    """Of the console's page."""
    keep: KeepConfig = dataclasses.field(default_factory=KeepConfig)
    """Where the episodes go."""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What else the robot's driver wants to know."""
    envelope: EnvelopeConfig = dataclasses.field(default_factory=lambda: OmegaConf.structured(EnvelopeConfig))
    """What the arm may be asked for."""
    control: ControlConfig = dataclasses.field(default_factory=ControlConfig)
    """When the loop stops trusting what it reads."""

    @property
    def dry_run(self) -> bool:
        """Never: who drives wants the arm to move."""
        return False


def main(arguments: list[str]) -> int:
    """Run `vla teleop`."""
    return cli.run("teleop", TeleopConfig, teleop, arguments)


def teleop(config: TeleopConfig) -> int:
    """Let a human drive, and write what came of it; the exit status.

    Raises:
        ConfigError: if a name or number of the configuration does not fit, or the device is not there.
    """
    console = Console(stderr=True, highlight=False)
    console.print(f"[bold yellow]{NOT_SAFETY_RATED}[/]")
    if not config.instruction.strip():
        raise ConfigError("an episode says in words what is done: give instruction=...")
    if config.by is By.BROWSER and not config.console:
        raise ConfigError("by=browser drives from the console's page: give console=true")
    clock = RealClock()
    robot = make_robot(config, clock)
    open_late(robot.cameras)
    acting = functools.partial(
        ArmEnvironment,
        robot,
        clock,
        config.envelope,
        config.control,
        duration_s=config.seconds,
        speed=config.speed,
    )
    # What does not fit is refused before anything is written or started.
    environment, placement = acting(), placement_of(config, robot, clock)
    episodes = Episodes(config.keep, robot, seed=config.seed, source=TELEOPERATION)
    keeper = Keeper(episodes, config.keep, config.instruction) if config.keep.store else None
    make_folder(config.out)
    with contextlib.ExitStack() as stack:
        about = {"policy": "", "robot": config.driver, "seconds": config.seconds, "max_speed": config.speed}
        drive = DriveConfig(config.by, config.device, config.scale, config.calibration, config.model)
        run = stack.enter_context(attended(config.out, robot, clock, {**about, "has_policy": False}, drive))
        if config.console:
            stack.enter_context(console_beside(config.out, config.console_port, run.is_looked_at))
        link = stack.enter_context(apart(placement, config, robot, console))
        who = {
            "policy": "",
            "teleoperation": config.by.value,
            "clock": "real",
            "dry_run": config.dry_run,
            "arm_process": told_of(placement, link),
        }
        header = run_header(config, robot, who)
        recorder = RunRecorder(config.out, header, robot.embodiment.control_hz if config.film else None)
        task = Task(config.instruction, config.seed, config.seconds)
        environment = environment if link is None else acting(link=link)
        live = LiveRun(environment, None, recorder, task, ExecutionConfig(), console, keeper, run.attendance, run.view)
        return live.run(header)
