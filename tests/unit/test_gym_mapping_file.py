"""The mapping of an environment that others wrote: strict, and the same robot as an import's mapping makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gym_arm import MAPPING
from vla.errors import ConfigError
from vla_datasets.exchange.mapping_file import load_mapping as load_import_mapping
from vla_sim.gym_suite.environment import GymEnvironment
from vla_sim.gym_suite.mapping_file import load_mapping, parse_mapping, shipped_mappings
from vla_sim.gym_suite.suite import mapping_of, named_mappings, with_mapping


def test_every_shipped_mapping_is_valid_and_every_task_has_words_for_its_controls() -> None:
    found = shipped_mappings()
    assert {"pusht", "reacher", "pusher"} <= set(found)
    for mapping in found.values():
        for name, task in mapping.tasks.items():
            assert task.instruction.held_out, name
            assert task.instruction.wrong or task.instruction.info or len(mapping.tasks) > 1, name


def test_a_policy_trained_on_imported_demonstrations_of_push_t_acts_in_push_t(root: Path) -> None:
    imported = load_import_mapping(root / "docs" / "how-to" / "mappings" / "pusht.yaml").embodiment
    assert mapping_of("gym:gym_pusht/PushT-v0").embodiment.fingerprint == imported.fingerprint


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("settling_steps: 2", "setling_steps: 2", r"settling_steps is missing"),
        ("physics: none", "physics: none\nfisics: mujoco", r"unknown key 'fisics'; did you mean 'physics'\?"),
        ("channels: bgr", "chanels: bgr", r"cameras\[0\]\.channels is missing"),
        ("grows: true,", "grows: true, speed: 3,", r"unknown key 'speed'"),
        ("physics: none", "physics: mujoko", r"did you mean 'mujoco'\?"),
        ('from: "action[0]"', 'from: "action[1]"', r"each once; got action\[1\], action\[1\]"),
        ("success: {info: closeness, at_least: 0.0}", "success: {}", r"say one of info, reward, terminated"),
        ("success: {info: closeness, at_least: 0.0}", "success: {terminated: 1}", r"terminated is true"),
        ("measured: gripper,", "measured: griper,", r"measured 'griper' is no field of test_arm"),
        ("suite: test_arm", "suite: test_arm\nimport: os; rm", r"no name of an installed module"),
        ('["please {}"]', "[please]", r"'please' should say with one \{\} where info 'words' goes"),
        ("install: nothing", "install: REVIEW", r"REVIEW is still on line"),
        ("held_out: [rightwards]", "held_out: []", r"held_out should be a list of texts"),
        ("max_steps: 10", "max_steps: 0", r"max_steps: expected a whole number from 1"),
        ("scale: -0.5, offset", "offset", r"scale is missing: 'raw' numbers"),
    ],
)
def test_what_is_not_right_is_refused_by_its_key(old: str, new: str, message: str) -> None:
    assert MAPPING.count(old) >= 1
    with pytest.raises(ConfigError, match=message):
        parse_mapping(MAPPING.replace(old, new, 1))


def test_a_users_mapping_is_found_by_environment_or_by_its_own_name(tmp_path: Path) -> None:
    file = tmp_path / "arm.yaml"
    file.write_text(MAPPING)
    assert mapping_of(with_mapping("gym:vla_test/Arm-v0", file)).tasks == load_mapping(file).tasks
    assert mapping_of(with_mapping("gym:test_arm", file)).name == "test_arm"
    with pytest.raises(ConfigError, match=r"unknown environment of mapping 'test_arm': 'Arm-v1'; did you mean"):
        mapping_of(with_mapping("gym:Arm-v1", file))
    with pytest.raises(ConfigError, match="goes with suite=gym:ENV_ID, got suite=tabletop"):
        with_mapping("tabletop", file)
    with pytest.raises(ConfigError, match="cannot be read"):
        mapping_of(with_mapping("gym:test_arm", tmp_path / "none.yaml"))


def test_an_environment_without_mapping_is_told_how_to_get_one() -> None:
    with pytest.raises(ConfigError, match=r"unknown suite 'gym:Ant-v5'.*mapping=FILE"):
        mapping_of("gym:Ant-v5")
    assert "gym:Reacher-v5" in named_mappings()


@given(st.floats(-10, 10).filter(lambda scale: abs(scale) > 1e-2), st.floats(-5, 5), st.floats(-1, 1))
def test_an_action_read_backwards_is_the_one_an_import_would_read(scale: float, offset: float, ours: float) -> None:
    text = MAPPING.replace("scale: -0.5, offset: 0.5", f"scale: {scale!r}, offset: {offset!r}")
    mapping = parse_mapping(text)
    entry = mapping.action[2]
    theirs = GymEnvironment(mapping)._theirs_unclipped(np.array([0.0, 0.0, ours]))
    assert entry.scale * entry.factor * theirs[2] + entry.offset == pytest.approx(ours, abs=1e-9)


@given(st.text(max_size=200))
def test_any_text_is_a_mapping_or_a_clear_refusal(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_mapping(text)
