"""A mapping that does not fit a robot, or a name that is none, is told apart by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from vla.errors import ConfigError, EmbodimentMismatch
from vla_policies.interchange.feature_mapping import (
    FeatureMapping,
    named_mapping,
    read_mapping,
    same_names,
    write_mapping,
)
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.metaworld_suite import METAWORLD_SAWYER, METAWORLD_SAWYER_SMALL


@pytest.fixture
def mapping() -> FeatureMapping:
    return named_mapping("metaworld", METAWORLD_SAWYER)


def test_the_shipped_mapping_fits_its_robot(mapping: FeatureMapping) -> None:
    mapping.require_fits(METAWORLD_SAWYER, whole_observation=True)


def test_the_same_names_fit_every_robot() -> None:
    same_names(TABLETOP_PANDA).require_fits(TABLETOP_PANDA, whole_observation=True)


def test_a_camera_that_is_left_out_is_named(mapping: FeatureMapping) -> None:
    with pytest.raises(EmbodimentMismatch, match=r"metaworld_sawyer_small: cameras: 'gripper' is not mapped"):
        mapping.require_fits(METAWORLD_SAWYER_SMALL, whole_observation=True)


def test_a_policy_of_others_may_see_less(mapping: FeatureMapping) -> None:
    mapping.require_fits(METAWORLD_SAWYER_SMALL, whole_observation=False)


def test_every_name_of_another_robot_is_told(mapping: FeatureMapping) -> None:
    with pytest.raises(EmbodimentMismatch) as caught:
        mapping.require_fits(TABLETOP_PANDA, whole_observation=False)
    assert "cameras: 'corner2' is mapped, and is none of" in str(caught.value)
    assert "action: 'dyaw' is not mapped" in str(caught.value)


def test_an_action_is_never_left_out(mapping: FeatureMapping) -> None:
    shorter = dataclasses.replace(mapping.action, fields=("dx", "dy", "dz"), units=(1.0,) * 3, offsets=(0.0,) * 3)
    with pytest.raises(EmbodimentMismatch, match="action: 'gripper' is not mapped"):
        dataclasses.replace(mapping, action=shorter).require_fits(METAWORLD_SAWYER, whole_observation=False)


def test_a_name_that_is_no_mapping_is_answered_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="mapping=metawrld is no file, and none of: same, metaworld"):
        named_mapping("metawrld", METAWORLD_SAWYER)


def test_a_mapping_is_read_from_a_file(mapping: FeatureMapping, tmp_path: Path) -> None:
    write_mapping(tmp_path / "mine.yaml", mapping)
    assert named_mapping(str(tmp_path / "mine.yaml"), METAWORLD_SAWYER) == mapping


def test_units_that_are_left_out_are_ours(mapping: FeatureMapping, tmp_path: Path) -> None:
    tree = mapping.to_json()
    del tree["action"]["units"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree))
    assert read_mapping(tmp_path / "mine.yaml").action.units == (1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("text", ["", "cameras: [", "- 1", "cameras: {}\nstate: null\naction: {}\n"])
def test_a_file_that_is_no_mapping_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        read_mapping(tmp_path / "mine.yaml")
