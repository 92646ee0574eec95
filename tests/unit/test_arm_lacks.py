"""What is said of an arm's XML that lacks something: each defect by its name, and nothing of a whole one."""

from __future__ import annotations

from pathlib import Path

import mujoco
import pytest

from vla.arms.lacks import lacks, main
from vla.kinematics import ARMS, arm_path


def damaged(old: str, new: str, arm: str = "panda") -> list[str]:
    """What is said of an arm in whose file `old` was replaced."""
    text = Path(arm_path(arm)).read_text(encoding="utf-8")
    assert old in text
    return lacks(mujoco.MjModel.from_xml_string(text.replace(old, new)))


@pytest.mark.parametrize("arm", ARMS)
def test_a_shipped_arm_lacks_nothing(arm: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([arm_path(arm)]) == 0
    assert capsys.readouterr().out == f"{arm}.xml: lacks nothing\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('site name="tcp"', 'site name="tool"', "it has no site 'tcp'"),
        ('camera name="wrist"', 'camera name="hand"', "it has no camera 'wrist'"),
        ('"hand"', '"palm"', "it has no body 'hand'"),
        ('name="max_speed_rad_s" data="2.175 ', 'name="max_speed_rad_s" data="', "'max_speed_rad_s' has 6 numbers"),
        ('data="2.175 2.175', 'data="0 2.175', "'max_speed_rad_s' holds a number that is not above 0"),
        ('numeric name="rest_rad"', 'numeric name="home"', "it has no <numeric name='rest_rad'>: expected 7 numbers"),
        ('name="opening_m" data="0 0.08"', 'name="opening_m" data="0 0.1"', "expected twice a finger's travel, 0.08 m"),
        ('data="0 0.151 0 -2.398', 'data="0 0.151 0 0.5', "at rest joint 'joint_4' is at 0.5, beyond -3.0718"),
        ('data="0 0.151 0 -2.398', 'data="0 0.151 0 -2.0', "rad off straight down"),
        (' range="-1.7628 1.7628"', "", "joint 'joint_2' has no limits"),
        ('<position name="joint_3"', '<position name="elbow"', "joint 'joint_3' has no actuator of its name"),
        (
            '<position name="joint_3" joint="joint_3" class="shoulder"/>',
            '<motor name="joint_3" joint="joint_3"/>',
            "actuator 'joint_3' follows no position",
        ),
        ('range="0 0.04"', 'range="-0.01 0.04"', "finger 'finger_left' has no range from 0, closed"),
    ],
)
def test_a_defect_is_told_by_name(old: str, new: str, said: str) -> None:
    assert any(said in line for line in damaged(old, new))


def test_an_arm_without_a_gripper_is_told_what_its_fingers_are_called() -> None:
    arm = """<mujoco><worldbody><body><joint name="a" type="hinge" range="-1 1"/><geom size="0.1"/></body></worldbody>
    <actuator><position name="a" joint="a" kp="10"/></actuator></mujoco>"""
    found = lacks(mujoco.MjModel.from_xml_string(arm))
    assert "its slides are none: expected ['finger_left', 'finger_right'], the gripper's fingers" in found


def test_fingers_before_joints_are_told(tmp_path: Path) -> None:
    text = """<mujoco><worldbody><body><joint name="finger_left" type="slide"/><geom size="0.1"/>
    <body><joint name="a" type="hinge"/><geom size="0.1"/></body></body></worldbody></mujoco>"""
    found = lacks(mujoco.MjModel.from_xml_string(text))
    assert any("a hinge comes after another joint" in line for line in found)


def test_a_file_that_is_no_model_is_told_and_not_raised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "arm.xml"
    path.write_text("no model", encoding="utf-8")
    assert main([str(path)]) == 1
    assert "arm.xml: MuJoCo cannot read it" in capsys.readouterr().out
    assert main([]) == 2
