"""`vla deploy`: a policy on an arm, behind the safety envelope. Not safety-rated.

    policy ─┐                                       ┌─► log.jsonl, video.mp4
    robot  ─┴─► preview, warm up ─► rollout loop ───┴─► hold ─► run.json

The policy may be on another machine (`server=`). The arm is previewed without torque while it warms up. However a run
ends, whether in time, by a fault, by an exception or by Ctrl-C, the arm is held first and the files are closed after.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from vla import cli
from vla.clock import RealClock, VirtualClock
from vla.embodiment import require_same_embodiment
from vla.errors import ConfigError
from vla.interfaces import Clock, Policy, Robot
from vla_policies.chunking import ExecutionConfig, check_execution
from vla_policies.loading import checkpoint_hash, load_policy, load_remote
from vla_robot_io.control_loop import ArmEnvironment, ControlConfig
from vla_robot_io.drivers import make_robot
from vla_robot_io.dry_run import DryRunArm
from vla_robot_io.familiarity import Familiarity
from vla_robot_io.first_runs import has_been_dry, remember_dry
from vla_robot_io.keeping import TELEOPERATION, Episodes, KeepConfig, Keeper, source_of
from vla_robot_io.late_camera import open_late
from vla_robot_io.limits import EnvelopeConfig
from vla_robot_io.live_run import EXIT_OK, LiveRun, Task
from vla_robot_io.operating.attending import attended, console_beside
from vla_robot_io.operating.live_view import LiveView
from vla_robot_io.operating.operated import Attendance
from vla_robot_io.placement import apart, placement_of, told_of
from vla_robot_io.reasons import NOT_SAFETY_RATED
from vla_robot_io.recording import RunRecorder, make_folder
from vla_robot_io.run_header import run_header
from vla_robot_io.server_watch import ServerWatch
from vla_robot_io.teleoperation.choosing import DriveConfig

SERVER_REPLY_S = 2.0
"""A server that takes longer ends the run; the arm stands at its last command meanwhile."""


class ClockKind(enum.Enum):
    """By which time the loop goes."""

    REAL = "real"
    """The host's monotonic clock."""
    VIRTUAL = "virtual"
    """As fast as the simulated robot can be computed; nothing for hardware."""


@dataclasses.dataclass
class DeployConfig:
    """Run a policy on an arm, behind the safety envelope, and write DIR/run.json, log.jsonl and video.mp4.

    Nothing here is safety-rated: this software can lower the odds of a bad motion, it cannot prevent one. Keep the
    arm's own emergency stop in your hand, and people out of its reach. Ctrl-C holds the arm, then closes the files.
    """

    driver: str
    """The robot, by its entry point in the group `vla.robots`; `robot=virtual` sets it, `robot=custom` asks for it."""
    instruction: str
    """What to do, in words."""
    out: Path
    """Folder for what comes of it; it must not hold a run already."""
    policy: str = ""
    """Who acts: pretrained, a checkpoint's folder, zero, random, replay:STORE, ...; with `server`, what that serves."""
    server: str = ""
    """Where the policy runs, if not here: ws://HOST:PORT of a `vla serve`; needs no torch on this machine."""
    seconds: float = 20.0
    """How long the arm may act, s."""
    seed: int = 0
    """Of the policy, and of the scene if the robot is simulated."""
    dry_run: bool | None = None
    """Read, predict and judge, and send nothing to the arm. If not given, the first run of a policy on an arm that is
    not simulated is a dry one."""
    speed: float = 1.0
    """At which the policy's time passes, above 0, at most 1: the same way, taken more slowly."""
    clock: ClockKind = ClockKind.REAL
    """By which time the loop goes; `virtual` is for simulated robots."""
    process: bool | None = None
    """Hold the arm in a process of its own, which goes on while the policy thinks, and brakes when this process hangs
    or dies. If not given, it has one wherever it can; where it cannot, as by a virtual clock, the run says why."""
    threads: int = 1
    """Of the policy's arithmetic. More are faster on an idle machine, and on a busy one slower by far."""
    film: bool = True
    """Write video.mp4."""
    console: bool = False
    """Open the operator's console beside the run: a local page with the cameras, a stop button and pads to take over.
    A run by real time can also be looked at with `vla console run=DIR`."""
    console_port: int = 8090
    """Of the console's page."""
    shadow: bool = False
    """A human drives, and the policy is only asked what it would do: the disagreement goes into run.json."""
    teleop: DriveConfig = dataclasses.field(default_factory=DriveConfig)
    """What a human drives with who takes over, or in shadow mode."""
    keep: KeepConfig = dataclasses.field(default_factory=KeepConfig)
    """Whether the run becomes an episode of a store."""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What else the robot's driver wants to know: `options={task: reach}`."""
    execution: ExecutionConfig = dataclasses.field(default_factory=ExecutionConfig)
    """How action chunks are carried out."""
    envelope: EnvelopeConfig = dataclasses.field(default_factory=lambda: OmegaConf.structured(EnvelopeConfig))
    """What the arm may be asked for; box and floor are required, and each `robot=...` has its own."""
    control: ControlConfig = dataclasses.field(default_factory=ControlConfig)
    """When the loop stops trusting what it reads."""


def main(arguments: list[str]) -> int:
    """Run `vla deploy`."""
    return cli.run("deploy", DeployConfig, deploy, arguments)


def deploy(config: DeployConfig) -> int:
    """Run the policy on the arm and write what came of it; the exit status.

    Raises:
        ConfigError: if a name or number of the configuration does not fit.
        CheckpointError, EmbodimentMismatch: if the policy cannot be loaded for this robot.
    """
    console = Console(stderr=True, highlight=False)
    console.print(f"[bold yellow]{NOT_SAFETY_RATED}[/]")
    if not config.instruction.strip():
        raise ConfigError("an arm is told what to do in words: give instruction=...")
    clock = RealClock() if config.clock is ClockKind.REAL else VirtualClock()
    robot = make_robot(config, clock)
    if config.clock is ClockKind.VIRTUAL and not robot.is_simulated:
        raise ConfigError(f"robot '{config.driver}' lives by real time: clock=virtual would hurry it, use clock=real")
    open_late(robot.cameras)
    with _policy(config, robot) as (policy, checkpoint):
        return _run(config, robot, clock, policy, checkpoint, console)


def _run(
    config: DeployConfig, robot: Robot, clock: Clock, policy: Policy, checkpoint: str | None, console: Console
) -> int:
    """The exit status of the policy's run on the robot."""
    require_same_embodiment(
        robot.embodiment,
        policy.embodiment,
        expected_name=f"robot '{config.driver}'",
        got_name=f"policy '{config.policy or config.server}'",
    )
    _limit_threads(config.threads)
    check_execution(config.execution, policy.horizon, policy.embodiment.control_dt_s)
    identity = checkpoint or config.policy or config.server
    config = dataclasses.replace(config, dry_run=_is_dry(config, robot, identity, console))
    if config.dry_run:
        robot = dataclasses.replace(robot, arm=DryRunArm(robot.arm))
    source = TELEOPERATION if config.shadow else source_of(config.policy or config.server)
    episodes = Episodes(config.keep, robot, seed=config.seed, source=source)
    keeper = Keeper(episodes, config.keep, config.instruction) if config.keep.store else None
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
    make_folder(config.out)
    frames_per_second = robot.embodiment.control_hz if config.film else None
    task = Task(config.instruction, config.seed, config.seconds)
    with _attended(config, robot, clock) as (attendance, view), apart(placement, config, robot, console) as link:
        who = {
            "policy": config.policy,
            "server": config.server or None,
            "clock": config.clock.value,
            "dry_run": config.dry_run,
            "arm_process": told_of(placement, link),
        }
        header = run_header(config, robot, who, checkpoint)
        recorder = RunRecorder(config.out, header, frames_per_second, may_wait=config.clock is ClockKind.VIRTUAL)
        environment = environment if link is None else acting(link=link)
        # A server lives by real time: by a virtual clock its silence means nothing.
        silence_s = config.control.server_silence_s if config.clock is ClockKind.REAL else math.inf
        watch = ServerWatch(policy, silence_s)
        known = Familiarity(policy, config.control.doubt, may_be_led=config.control.start.go_there)
        run = LiveRun(
            environment, policy, recorder, task, config.execution, console, keeper, attendance, view, watch, known
        )
        status = run.run(header)
    if config.dry_run and status == EXIT_OK:
        remember_dry(robot.arm.spec.name, identity)
    return status


@contextlib.contextmanager
def _attended(config: DeployConfig, robot: Robot, clock: Clock) -> Iterator[tuple[Attendance | None, LiveView | None]]:
    """Who attends the run while the block lasts, and what they see: nobody and nothing by virtual time."""
    if config.clock is ClockKind.VIRTUAL:
        if config.console or config.shadow:
            raise ConfigError("an operator lives by real time: console=true and shadow=true need clock=real")
        yield None, None
        return
    about = {
        "policy": config.policy or config.server,
        "robot": config.driver,
        "seconds": config.seconds,
        "max_speed": config.speed,
        "has_policy": True,
    }
    beside = attended(config.out, robot, clock, about, config.teleop, is_shadow=config.shadow)
    with beside as run, contextlib.ExitStack() as stack:
        if config.console:
            stack.enter_context(console_beside(config.out, config.console_port, run.is_looked_at))
        yield run.attendance, run.view


def _is_dry(config: DeployConfig, robot: Robot, identity: str, console: Console) -> bool:
    """Whether nothing is to be sent: as told, or because nobody has seen this policy on this arm yet."""
    if config.dry_run is not None:
        return config.dry_run
    is_first = not robot.is_simulated and not has_been_dry(robot.arm.spec.name, identity)
    if is_first:
        console.print("The first run of this policy on this arm is a dry one; look at it, then run it again.")
    return is_first


@contextlib.contextmanager
def _policy(config: DeployConfig, robot: Robot) -> Iterator[tuple[Policy, str | None]]:
    """Who acts while the block lasts, here or on a server, and the SHA-256 of the checkpoint if there is one.

    Raises:
        ConfigError: if nobody is named, or the server serves another policy.
        ServerError, WireError: if there is no such server.
        EmbodimentMismatch: if it is for another robot.
    """
    is_address = config.policy.startswith(("ws://", "wss://"))
    server = config.server or (config.policy if is_address else "")
    if not server:
        if not config.policy:
            raise ConfigError("'vla deploy' needs policy=<str>: who acts; or server=ws://HOST:PORT")
        yield load_policy(config.policy, robot.embodiment, batch_size=1), checkpoint_hash(config.policy)
        return
    with contextlib.closing(load_remote(server, robot.embodiment, reply_s=SERVER_REPLY_S)) as policy:
        served = policy.greeting.policy
        if config.policy not in ("", served, server):
            raise ConfigError(f"server={server} serves '{served}', not policy={config.policy}")
        yield policy, policy.greeting.checkpoint


def _limit_threads(threads: int) -> None:
    """Have torch work in this many threads, if a policy has loaded it; this package does without."""
    if threads < 1:
        raise ConfigError(f"threads is at least 1, got {threads}")
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
