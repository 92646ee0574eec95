"""LeRobot's own commands drive the simulated arm, in processes of their own, without hardware or screen."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lerobot")
pytest.importorskip("lerobot_robot_vla")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

FRAMES_PER_SECOND = 20
SECONDS = 2


def lerobot(command: str, *options: str) -> None:
    """Run one of LeRobot's commands."""
    arguments = [str(Path(sys.executable).with_name(f"lerobot-{command}")), "--robot.type=vla_virtual", *options]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def log_of(path: Path) -> list[dict[str, dict[str, float]]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, dict[str, float]]]]:
    """A dataset that `lerobot-record` made of the swaying arm, and what the arm was told."""
    folder = tmp_path_factory.mktemp("lerobot")
    lerobot(
        "record",
        f"--robot.log={folder / 'record.jsonl'}",
        "--teleop.type=vla_sway",
        "--dataset.repo_id=local/sway",
        f"--dataset.root={folder / 'dataset'}",
        "--dataset.num_episodes=1",
        f"--dataset.episode_time_s={SECONDS}",
        "--dataset.reset_time_s=0",
        f"--dataset.fps={FRAMES_PER_SECOND}",
        "--dataset.single_task=sway",
        "--dataset.push_to_hub=false",
        "--dataset.video=false",
        "--play_sounds=false",
    )
    return folder, log_of(folder / "record.jsonl")


def test_lerobot_record_moves_the_arm_and_keeps_what_it_did(recorded: tuple[Path, Any]) -> None:
    folder, log = recorded
    assert len(log) >= FRAMES_PER_SECOND * SECONDS // 2
    places = [line["measured"]["shoulder_pan.pos"] for line in log]
    assert max(places) - min(places) > 4.0
    far = max(abs(line["measured"][name] - line["sent"][name]) for line in log[5:] for name in line["sent"])
    assert far < 8.0
    info = json.loads((folder / "dataset" / "meta" / "info.json").read_text())
    assert info["robot_type"] == "vla_virtual"
    assert info["features"]["action"]["names"][-1] == "gripper.pos"
    assert info["features"]["observation.images.scene"]["shape"] == [64, 80, 3]


def test_lerobot_replay_sends_the_arm_what_was_recorded(recorded: tuple[Path, Any]) -> None:
    folder, before = recorded
    lerobot(
        "replay",
        f"--robot.log={folder / 'replay.jsonl'}",
        "--dataset.repo_id=local/sway",
        f"--dataset.root={folder / 'dataset'}",
        "--dataset.episode=0",
        "--play_sounds=false",
    )
    log = log_of(folder / "replay.jsonl")
    for old, new in zip(before, log, strict=False):
        assert new["asked"] == pytest.approx(old["asked"], abs=1e-3)
    assert len(log) >= FRAMES_PER_SECOND * SECONDS // 2


def test_our_driver_drives_lerobots_robot_which_is_our_arm() -> None:
    from vla.clock import RealClock
    from vla.interfaces import ArmCommand
    from vla_robot_io.from_lerobot.joint_mapping import load_mapping
    from vla_robot_io.from_lerobot.lerobot_link import LerobotLink
    from vla_robot_io.from_lerobot.robot import make_lerobot_robot
    from vla_robot_io.links.link import KnownArm
    from vla_robot_io.links.linked_arm import LinkedArm

    robot = make_lerobot_robot("vla_virtual", {"arm": "so101"}, keeps_torque=True)
    assert isinstance(robot, importlib.import_module("lerobot.robots").Robot)
    clock, mapping = RealClock(), load_mapping("so101")
    link = LerobotLink(robot, mapping, clock, disconnects=True)
    arm = LinkedArm(link, mapping.spec("theirs", 50.0), KnownArm(("vla_virtual",)), clock)
    for verb in (arm.connect, arm.configure, arm.read, arm.arm, arm.run):
        verb()
    began = arm.read().positions
    for sequence in range(1, 20):
        goal = arm.read().commanded + np.array([0.02, 0, 0, 0, 0])
        arm.write(ArmCommand(goal, 0.02, sequence, clock.now() + 1.0))
        clock.sleep_until(clock.now() + 0.02)
    assert arm.read().positions[0] - began[0] > 0.2
    arm.close()
