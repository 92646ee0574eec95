"""LeRobot's numbers become positions and positions LeRobot's numbers, whatever the unit, zero and direction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.errors import ArmError, ConfigError
from vla_robot_io.from_lerobot.joint_mapping import MappedGripper, MappedJoint, Unit, load_mapping, mapping_of
from vla_robot_io.panda import panda_spec

ANGLES = st.floats(-3.0, 3.0)
JOINT: dict[str, Any] = {"feature": "a.pos", "unit": "degrees", "low_rad": -1, "high_rad": 1, "max_speed_rad_s": 2}
GRIPPER: dict[str, Any] = {"feature": "gripper.pos", "closed": 0, "open": 100, "opening_m": 0.07}


def tree(**changes: Any) -> dict[str, Any]:
    """A mapping of one joint, some of whose fields are others; those of value `None` are left out."""
    joint = {name: value for name, value in (JOINT | changes).items() if value is not None}
    return {"joints": {"a": joint}, "gripper": GRIPPER}


@given(rad=ANGLES, direction=st.sampled_from([-1, 1]), zero=st.floats(-90, 90), unit=st.sampled_from(Unit))
def test_there_and_back_is_where_it_was(rad: float, direction: int, zero: float, unit: Unit) -> None:
    joint = MappedJoint("a", "a.pos", unit, -3.0, 3.0, 1.0, direction, 0.0 if unit is Unit.NORMALISED else zero)
    assert joint.rad(joint.number(rad)) == pytest.approx(rad, abs=1e-9)


@given(number=st.floats(-100, 100))
def test_normalised_ends_are_the_ends_of_the_range(number: float) -> None:
    joint = MappedJoint("a", "a.pos", Unit.NORMALISED, -0.5, 2.5, 1.0)
    turned = MappedJoint("a", "a.pos", Unit.NORMALISED, -0.5, 2.5, 1.0, direction=-1)
    assert joint.rad(-100.0) == pytest.approx(-0.5)
    assert joint.rad(100.0) == pytest.approx(2.5)
    assert -0.5 - 1e-9 <= joint.rad(number) <= 2.5 + 1e-9
    assert turned.rad(number) == pytest.approx(joint.rad(-number))


def test_a_right_angle_is_ninety_degrees() -> None:
    mapping = load_mapping(tree(direction=-1, zero=10.0))
    assert mapping.joints[0].rad(100.0) == pytest.approx(-math.pi / 2)
    assert mapping.action(np.array([-math.pi / 2]), 0.035) == pytest.approx({"a.pos": 100.0, "gripper.pos": 50.0})


@given(opening_m=st.floats(0.0, 0.08))
def test_a_gripper_opens_from_closed_to_open(opening_m: float) -> None:
    gripper = MappedGripper("gripper.pos", closed=90.0, open=10.0, opening_m=0.08)
    assert gripper.opening(gripper.number(opening_m)) == pytest.approx(opening_m, abs=1e-12)
    assert 10.0 - 1e-9 <= gripper.number(opening_m) <= 90.0 + 1e-9


def test_an_arm_by_name_has_its_own_limits_and_lerobots_names() -> None:
    mapping = load_mapping("so101")
    assert mapping.features[0] == "shoulder_pan.pos"
    assert mapping.features[-1] == "gripper.pos"
    assert mapping.spec("so101", 50.0).position_high[0] == pytest.approx(1.91986)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (tree(low_rad=None), "lacks low_rad: limits and units are declared"),
        (tree(unit="ticks"), "unknown unit"),
        (tree(low_rad=2), "low_rad < high_rad"),
        (tree(max_speed_rad_s=0), "max_speed_rad_s > 0"),
        (tree(max_speed_rad_s=math.nan), "finite number"),
        (tree(direction=2), "direction 1 or -1"),
        (tree(unit="normalised", zero=3.0), "leave 'zero' out"),
        (tree(feature=""), "is a word"),
        (tree(feature="gripper.pos"), "one feature twice"),
        (tree(speed=1), "unknown field"),
        (tree(name="b"), "named by its key"),
        ({"joints": {}, "gripper": GRIPPER}, "maps no joint"),
        ({"joints": {"a": JOINT}, "gripper": GRIPPER | {"open": 0}}, "make no range"),
        ({"joints": {"a": JOINT}}, "maps 'joints'"),
        ("nowhere.yaml", "nor is it one of panda"),
    ],
)
def test_a_mapping_that_leaves_something_open_is_refused(wrong: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_mapping(wrong)


@pytest.mark.parametrize("value", ["fast", None, [1.0]])
def test_what_is_no_number_is_no_position(value: object) -> None:
    mapping = mapping_of(panda_spec(100.0), Unit.DEGREES)
    numbers = dict.fromkeys(mapping.features, 0.0) | {"joint_3.pos": value}
    with pytest.raises(ArmError, match=r"no number for 'joint_3\.pos'"):
        mapping.measured(numbers)
