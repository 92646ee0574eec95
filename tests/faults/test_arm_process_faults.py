"""An arm in a process of its own brakes and holds whatever becomes of the process that plans: rows F67 to F71, F77."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.busy_machines import ALONG, PATIENCE_S, act
from vla import cli
from vla.clock import RealClock
from vla.errors import ArmError, ArmFault, ArmHeld, ConfigError
from vla.interfaces import ArmMode, EpisodeSpec
from vla.kinematics import REST_POSTURE
from vla_robot_io.arm_process import STATES
from vla_robot_io.arm_process_link import ArmProcess, remove_stale
from vla_robot_io.control_loop import ArmEnvironment
from vla_robot_io.deploy import DeployConfig
from vla_robot_io.drivers import make_robot
from vla_robot_io.guarded_arm import GuardConfig
from vla_robot_io.operating.letterbox import Mailbox
from vla_robot_io.panda import panda_spec
from vla_robot_io.placement import arm_process_of
from vla_robot_io.plans import ArmReport
from vla_robot_io.process_records import mode_of, report_of, state_type
from vla_robot_io.reasons import Code
from vla_robot_io.servos.arm_plant import calibration_of
from vla_robot_io.servos.emulator import EmulatedServos, IdealJoints, pseudo_terminal
from vla_robot_io.servos.packets import DIALECTS
from vla_robot_io.servos.registers import MODELS
from vla_sim.embodiments import TABLETOP_PANDA

pytest.importorskip("ruckig")

WORDS = ["policy=zero", "instruction=reach the red block"]
ROBOTS = ("virtual", "servos_emulated", "ur_emulated")
SPEC = EpisodeSpec(task="", seed=0, instruction="reach the red block")
GAP_S = GuardConfig.stale_fault_s + 0.1
"""An arm's process that stood still for longer latches a fault."""


def until(holds: Callable[[], bool], what: str) -> None:
    """Return when this holds; asked again and again, as no process tells when it does."""
    end_s, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not holds():
        assert time.monotonic() < end_s, what
        pause.wait(0.01)


@contextlib.contextmanager
def arm_in_a_process(folder: Path, robot_name: str = "virtual") -> Iterator[tuple[ArmEnvironment, ArmProcess]]:
    """An arm in its own process, with torque on."""
    config = cli.compose("deploy", DeployConfig, [*WORDS, f"robot={robot_name}", f"out={folder}"])
    clock = RealClock()
    robot = make_robot(config, clock)
    link = arm_process_of(config, robot)
    # A busy machine shows no pictures in time; what cameras show is not what this is about.
    control = dataclasses.replace(config.control, camera_age_s=60.0, camera_skew_s=60.0, reply_deadline_s=60.0)
    environment = ArmEnvironment(robot, clock, config.envelope, control, duration_s=600.0, link=link)
    try:
        environment.preview(SPEC)
        environment.reset(SPEC)
        yield environment, link
    finally:
        with contextlib.suppress(ArmFault, ArmHeld):
            environment.close()


def test_the_arm_is_ticked_while_the_runtime_thinks_and_holds_when_it_thinks_long(tmp_path: Path) -> None:
    with arm_in_a_process(tmp_path) as (environment, link):
        act(environment)
        before = link.report()
        until(lambda: environment.mode is ArmMode.HOLD, "it never held")
        after = link.report()
        assert after.tick > before.tick
        assert after.halt is not None
        assert after.halt.code in (Code.PLAN_ENDED, Code.RUNTIME_SILENT)
        act(environment)
        assert link.report().plan > before.plan


def test_f79_a_dead_man_input_let_go_holds_the_arm_whatever_the_loop_does(tmp_path: Path) -> None:
    with arm_in_a_process(tmp_path) as (environment, link):
        held = threading.Event()
        environment.dead_man = held.is_set
        environment.change_speed(0.05)
        act(environment)
        halt = link.report().halt
        assert halt is not None
        assert halt.code is Code.DEAD_MAN
        held.set()
        # The loop looks at nothing while it waits for two seconds of motion.
        threading.Timer(0.5, held.clear).start()
        act(environment)
        until(lambda: environment.mode is ArmMode.HOLD, "it never held")
        halt = link.report().halt
        assert halt is not None
        assert halt.code is Code.DEAD_MAN


def test_f68_an_arm_process_that_was_suspended_is_a_fault_here_and_there(tmp_path: Path) -> None:
    with arm_in_a_process(tmp_path) as (environment, link):
        act(environment)
        os.kill(link.pid, signal.SIGSTOP)
        stat = Path(f"/proc/{link.pid}/stat")
        until(lambda: ") T " in stat.read_text(), "it was never suspended")
        last_s = link.report().time_s
        until(lambda: time.monotonic() - last_s > GAP_S, "time stands still")
        with pytest.raises(ArmFault, match="has told nothing for"):
            environment.step(ALONG)
        os.kill(link.pid, signal.SIGCONT)
        until(lambda: environment.mode is ArmMode.FAULT, "no fault on thaw")
        assert "stood still for" in str(environment.latched)


def test_f70_an_arm_process_that_was_killed_is_told_and_not_started_again(tmp_path: Path) -> None:
    with arm_in_a_process(tmp_path) as (environment, link):
        act(environment)
        os.kill(link.pid, signal.SIGKILL)
        os.waitid(os.P_PID, link.pid, os.WEXITED | os.WNOWAIT)
        for _ in range(2):
            with pytest.raises(ArmFault, match="ended with status -9: look at the arm"):
                environment.step(ALONG)


def test_the_stop_file_of_the_run_stops_it(tmp_path: Path) -> None:
    with arm_in_a_process(tmp_path) as (environment, link):
        act(environment)
        (tmp_path / "stop.flag").write_bytes(b"1")
        with pytest.raises(ArmHeld):
            environment.step(ALONG)
        until(lambda: environment.mode is ArmMode.HOLD, "it never held")
        assert link.report().is_at_rest


def test_a_serial_bus_is_opened_by_the_arms_process_alone(tmp_path: Path) -> None:
    clock, spec, model = RealClock(), panda_spec(50.0), MODELS["sts3215"]
    calibration = calibration_of(spec, model)
    calibration.save(tmp_path / "arm.json")
    (tmp_path / "body.json").write_text(json.dumps(TABLETOP_PANDA.to_json()))
    ticks = [*calibration.ticks(model, np.array(REST_POSTURE)).tolist(), calibration.gripper.open]
    joints = IdealJoints(clock, dict(zip(calibration.ids, ticks, strict=True)))
    servos = EmulatedServos(model, DIALECTS[model.dialect], calibration.ids, clock, joints)
    with pseudo_terminal(servos) as port:
        options = {
            "port": port,
            "arm": "panda",
            "calibration": str(tmp_path / "arm.json"),
            "embodiment": str(tmp_path / "body.json"),
            "cameras": {camera.name: "/dev/nothing" for camera in TABLETOP_PANDA.cameras},
        }
        box = ["envelope.box_low_m=[0.2,-0.4,0.01]", "envelope.box_high_m=[0.8,0.4,0.6]", "envelope.floor_m=0.01"]
        named = ["robot=custom", "driver=servos", f"options={json.dumps(options)}", f"out={tmp_path}"]
        config = cli.compose("deploy", DeployConfig, [*WORDS, *named, *box])
        with contextlib.closing(arm_process_of(config, make_robot(config, clock))) as link:
            # The servos answer from a thread of this process, which a busy machine keeps waiting.
            insist(link.open)
            insist(link.enable)
            here = link.report().command.positions
            insist(lambda: link.carry_out(np.array([0.004, *[0.0] * 6]), 0.04, 10))
            assert link.report().command.positions[0] > here[0]
            assert link.granted["priority"]


def insist(act: Callable[[], None]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return act()
        except ArmError:
            assert time.monotonic() < end_s, "the bus never answered whole"


# --------------------------------------------------------------------------- the runtime dies


@contextlib.contextmanager
def runtime_process(folder: Path, robot: str = "virtual") -> Iterator[tuple[subprocess.Popen[str], int, Mailbox]]:
    """A process that plans for an arm, the arm's process, and what that tells."""
    command = [sys.executable, __file__, str(folder), robot]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        told = json.loads(process.stdout.readline())
        yield process, told["arm"], Mailbox(Path(told["folder"]) / STATES)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def newest(states: Mailbox, joints: int = 7) -> np.ndarray:
    found: list[bytes] = []

    def look() -> bool:
        message = states.read()
        found[:] = [message] if message is not None else found
        return bool(found)

    until(look, "nothing is told")
    length = len(found[0])
    empty = state_type(joints, 0).itemsize
    return np.frombuffer(found[0], state_type(joints, (length - empty) // 8)).reshape(())


@pytest.mark.parametrize("robot", ROBOTS)
def test_f69_when_the_runtime_is_killed_the_arm_comes_to_rest_holds_and_its_process_ends(
    robot: str, tmp_path: Path
) -> None:
    if robot == "ur_emulated":
        pytest.importorskip("rtde_control", reason="ur-rtde is not installed")
    joints = 6 if robot == "ur_emulated" else 7
    with runtime_process(tmp_path, robot) as (runtime, arm, states):
        until(lambda: mode_of(newest(states, joints)) is ArmMode.RUNNING, "it never ran")
        folder = Path(f"/proc/{arm}")
        # Whoever plans has the arm's process for a child, and none of what the arm is behind.
        assert children(runtime.pid) == [arm]
        assert len(children(arm)) == (robot == "ur_emulated")
        runtime.send_signal(signal.SIGKILL)
        until(lambda: not folder.exists() or "(python) Z" in (folder / "stat").read_text(), "it stayed")
        # The last word of a process that closed its wire in order.
        last = newest(states, joints)
        assert mode_of(last) is ArmMode.DISCONNECTED
        report = report_of(last)
        assert report.is_at_rest
        assert report.halt is not None
        assert report.halt.code is Code.RUNTIME_SILENT


def children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sorted(int(child) for thread in threads for child in (thread / "children").read_text().split())


def is_silence(report: ArmReport) -> bool:
    return report.mode is ArmMode.HOLD and report.halt is not None and report.halt.code is Code.RUNTIME_SILENT


def test_f67_a_runtime_that_was_suspended_is_held_and_must_acknowledge_on_thaw(tmp_path: Path) -> None:
    with runtime_process(tmp_path) as (runtime, _, states):
        until(lambda: mode_of(newest(states)) is ArmMode.RUNNING, "it never ran")
        runtime.send_signal(signal.SIGSTOP)
        # The end of a plan may hold it sooner than the silence does, and needs no acknowledgement.
        until(lambda: is_silence(report_of(newest(states))), "it never held")
        runtime.send_signal(signal.SIGCONT)
        assert runtime.stdout is not None
        assert "ArmHeld" in runtime.stdout.readline()


# --------------------------------------------------------------------------- what runs leave behind


def test_f77_memory_of_a_run_that_is_over_is_removed_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    def leave(name: str, owner: dict[str, object]) -> Path:
        folder = tmp_path / f"vla-arm-{name}"
        folder.mkdir()
        (folder / "owner.json").write_text(json.dumps(owner))
        return folder

    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    began = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    living = leave("1", {"boot": boot, "pid": os.getpid(), "began": began, "nonce": "a"})
    dead = leave("2", {"boot": boot, "pid": 1 << 22, "began": began, "nonce": "b"})
    reused = leave("3", {"boot": boot, "pid": os.getpid(), "began": "1", "nonce": "c"})
    rebooted = leave("4", {"boot": "another", "pid": os.getpid(), "began": began, "nonce": "d"})
    other = tmp_path / "something else"
    other.mkdir()
    assert sorted(remove_stale(tmp_path)) == [dead, reused, rebooted]
    assert living.is_dir()
    assert other.is_dir()


def test_a_process_for_an_arm_by_virtual_time_is_refused(tmp_path: Path) -> None:
    from vla_robot_io.deploy import deploy

    words = [*WORDS, "robot=virtual", f"out={tmp_path}", "clock=virtual", "process=true"]
    with pytest.raises(ConfigError, match="does not go by a virtual clock"):
        deploy(cli.compose("deploy", DeployConfig, words))


def _plan_for_ever(folder: Path, robot: str) -> None:
    with arm_in_a_process(folder, robot) as (environment, link):
        act(environment)
        print(json.dumps({"arm": link.pid, "folder": str(link.folder)}), flush=True)
        while True:
            try:
                environment.step(ALONG if int(time.monotonic()) % 2 else -ALONG)
            except ArmHeld as error:
                print(f"ArmHeld: {error}", flush=True)
                environment.go_on()


if __name__ == "__main__":
    _plan_for_ever(Path(sys.argv[1]), sys.argv[2])
