"""A folder of LeRobot's is refused before LeRobot is asked, if it does not fit or could run what it says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from vla.errors import CheckpointError, ConfigError, EmbodimentMismatch
from vla_policies.interchange.feature_mapping import named_mapping, write_mapping
from vla_policies.loading import checkpoint_hash, is_checkpoint, is_trained, load_policy
from vla_sim.metaworld_suite import METAWORLD_SAWYER

HAS_LEROBOT = importlib.util.find_spec("lerobot") is not None
FEATURES = {
    "input_features": {
        "observation.images.corner2": {"type": "VISUAL", "shape": [3, 224, 224]},
        "observation.state": {"type": "STATE", "shape": [4]},
    },
    "output_features": {"action": {"type": "ACTION", "shape": [4]}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    _write(tmp_path / "config.json", {"type": "act", **FEATURES})
    for name in ("policy_preprocessor.json", "policy_postprocessor.json"):
        _write(tmp_path / name, {"name": name, "steps": [{"registry_name": "device_processor", "config": {}}]})
    (tmp_path / "model.safetensors").write_bytes(b"")
    return tmp_path


def _write(file: Path, tree: Any) -> None:
    file.write_text(json.dumps(tree))


def _load(folder: Path) -> None:
    load_policy(f"lerobot:{folder}", METAWORLD_SAWYER)


@pytest.mark.skipif(HAS_LEROBOT, reason="LeRobot is installed")
def test_without_lerobot_the_extra_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"not installed \(lerobot\): uv pip install 'vla-stack\[lerobot\]'"):
        _load(folder)


def test_the_folder_must_be_given() -> None:
    with pytest.raises(ConfigError, match="expected lerobot:FOLDER"):
        load_policy("lerobot", METAWORLD_SAWYER)


def test_nothing_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no folder .*lerobot/act.* loaded from this machine"):
        _load(tmp_path / "lerobot/act")


@pytest.mark.parametrize("name", ["config.json", "policy_preprocessor.json", "model.safetensors"])
def test_a_file_that_is_absent_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        _load(folder)


@pytest.mark.parametrize("text", ["{", "[]", "1"])
def test_a_config_that_is_none_is_named(text: str, folder: Path) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        _load(folder)


def test_weights_that_would_be_unpickled_are_not_looked_at(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"no model\.safetensors: weights of no other kind are read"):
        _load(folder)


@pytest.mark.parametrize(
    "step",
    [
        {"class": "os.system", "config": {"command": "true"}},
        {"registry_name": "device_processor", "class": "os.system"},
        {"config": {}},
        "os.system",
    ],
)
def test_a_step_that_names_a_class_is_refused(step: Any, folder: Path) -> None:
    _write(folder / "policy_postprocessor.json", {"steps": [step]})
    with pytest.raises(CheckpointError, match=r"policy_postprocessor\.json has a step without a registered name"):
        _load(folder)


def test_an_adapter_is_refused(folder: Path) -> None:
    _write(folder / "config.json", {"type": "act", "use_peft": True, **FEATURES})
    with pytest.raises(CheckpointError, match="is an adapter to weights that lie elsewhere"):
        _load(folder)


def test_features_that_differ_are_told_one_by_one(folder: Path) -> None:
    other = json.loads(json.dumps({"type": "act", **FEATURES}))
    other["input_features"]["observation.images.corner2"]["shape"] = [3, 480, 480]
    other["input_features"]["observation.images.wrist"] = {"type": "VISUAL", "shape": [3, 48, 48]}
    other["output_features"]["action"]["shape"] = [7]
    _write(folder / "config.json", other)
    with pytest.raises(EmbodimentMismatch) as caught:
        _load(folder)
    for line in (
        "observation.images.corner2: the policy has VISUAL (3, 480, 480), the mapping VISUAL (3, 224, 224)",
        "observation.images.wrist: the policy has VISUAL (3, 48, 48), the mapping nothing",
        "output_features.action: the policy has ACTION (7,), the mapping ACTION (4,)",
    ):
        assert line in str(caught.value)


def test_a_mapping_beside_the_weights_takes_the_place_of_the_same_names(folder: Path) -> None:
    write_mapping(folder / "vla_mapping.yaml", named_mapping("metaworld", METAWORLD_SAWYER))
    with pytest.raises(EmbodimentMismatch, match=r"observation\.image: the policy has nothing, the mapping VISUAL"):
        _load(folder)


def test_a_policy_of_lerobots_is_trained_and_no_checkpoint_of_ours() -> None:
    assert is_trained("lerobot:runs/act")
    assert not is_checkpoint("lerobot:runs/act")


def test_its_hash_changes_with_any_of_its_files(folder: Path) -> None:
    before = checkpoint_hash(f"lerobot:{folder}")
    assert before == checkpoint_hash(f"blind:lerobot:{folder}")
    (folder / "model.safetensors").write_bytes(b"other")
    assert checkpoint_hash(f"lerobot:{folder}") != before
