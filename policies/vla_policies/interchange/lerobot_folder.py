"""A folder that LeRobot's `save_pretrained` wrote, read without trusting it.

config.json                  type and features: a name that LeRobot itself registered
model.safetensors            weights; every one of them is compared with what the policy has in the end
policy_preprocessor.json     steps by registered names; one that names a class to import is refused
policy_postprocessor.json
vla_mapping.yaml             which of its features is which of ours (see `feature_mapping`)
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from vla.embodiment import Embodiment
from vla.errors import CheckpointError, EmbodimentMismatch
from vla.files import read_json
from vla.libraries import require_library
from vla_policies.interchange.feature_mapping import MAPPING_FILE, FeatureMapping, read_mapping, same_names

CONFIG, WEIGHTS = "config.json", "model.safetensors"
PIPELINES = ("policy_preprocessor.json", "policy_postprocessor.json")
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


@dataclasses.dataclass(frozen=True)
class LoadedPolicy:
    """A policy of LeRobot's and its two pipelines."""

    policy: Any
    preprocessor: Any
    postprocessor: Any

    def for_one_episode(self) -> LoadedPolicy:
        """A copy in which nothing that an episode changes is shared; the weights are."""
        tensors = [*self.policy.parameters(), *self.policy.buffers()]
        memo: dict[int, Any] = {id(tensor): tensor for tensor in tensors}
        # In one go, so that steps of the two pipelines that refer to each other still do.
        return LoadedPolicy(*copy.deepcopy((self.policy, self.preprocessor, self.postprocessor), memo))


def load_lerobot_folder(folder: Path, embodiment: Embodiment) -> tuple[LoadedPolicy, FeatureMapping]:
    """The policy, and the mapping between its features and this embodiment.

    Raises:
        ConfigError: if LeRobot is not installed, or the mapping cannot be read.
        CheckpointError: if a file is absent, damaged, or names what is not LeRobot's.
        EmbodimentMismatch: with a line for each feature that differs.
    """
    if not folder.is_dir():
        raise CheckpointError(f"there is no folder {folder}: a policy of LeRobot's is loaded from this machine")
    config_tree = _read_json(folder / CONFIG)
    _check_harmless(folder, config_tree)
    file = folder / MAPPING_FILE
    mapping = read_mapping(file) if file.exists() else same_names(embodiment)
    mapping.require_fits(embodiment, whole_observation=False)
    require_same_features(folder, config_tree, mapping)
    return _load(folder), mapping


def folder_hash(folder: Path) -> str:
    """SHA-256 over the names and contents of all files that decide what the policy does."""
    digest = hashlib.sha256()
    for file in sorted([*folder.glob("*.json"), *folder.glob("*.safetensors"), *folder.glob(MAPPING_FILE)]):
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def require_same_features(folder: Path, config: Mapping[str, Any], mapping: FeatureMapping) -> None:
    """Return if the policy's features are those that the mapping speaks of.

    Raises:
        EmbodimentMismatch: with a line for each that differs.
    """
    state = {} if mapping.state is None else {mapping.state.feature: ("STATE", [len(mapping.state.fields)])}
    given = {p.feature: ("VISUAL", [3, p.height, p.width]) for p in mapping.cameras.values()} | state
    command = {mapping.action.feature: ("ACTION", [len(mapping.action.fields)])}
    lines = _differences("input_features", _features(config, "input_features"), given)
    lines += _differences("output_features", _features(config, "output_features"), command)
    if lines:
        raise EmbodimentMismatch(f"the features of {folder} are not those of its mapping: {'; '.join(lines)}")


# --------------------------------------------------------------------------- reading


def _read_json(file: Path) -> dict[str, Any]:
    absent = f"{file.parent} is no policy of LeRobot's: {file.name} is missing"
    return read_json(file, CheckpointError, absent=absent)


def _check_harmless(folder: Path, config: Mapping[str, Any]) -> None:
    """Return if nothing in the folder leads to code or to files elsewhere."""
    if config.get("use_peft"):
        raise CheckpointError(f"{folder} is an adapter to weights that lie elsewhere: merge it before")
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS}: weights of no other kind are read")
    for name in PIPELINES:
        for step in _read_json(folder / name).get("steps", []):
            if not isinstance(step, dict) or not isinstance(step.get("registry_name"), str) or "class" in step:
                raise CheckpointError(f"{folder / name} has a step without a registered name: {str(step)[:120]}")


def _features(config: Mapping[str, Any], name: str) -> dict[str, tuple[str, list[int]]]:
    features = config.get(name)
    try:
        return {str(key): (str(value["type"]), list(value["shape"])) for key, value in dict(features or {}).items()}
    except (TypeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{CONFIG} has no readable {name}: {type(error).__name__}: {error}") from error


def _differences(what: str, policy: Mapping[str, Any], mapped: Mapping[str, Any]) -> list[str]:
    def shown(feature: Any) -> str:
        return "nothing" if feature is None else f"{feature[0]} {tuple(feature[1])}"

    return [
        f"{what}.{name}: the policy has {shown(policy.get(name))}, the mapping {shown(mapped.get(name))}"
        for name in sorted(policy.keys() | mapped.keys())
        if policy.get(name) != mapped.get(name)
    ]


def _load(folder: Path) -> LoadedPolicy:
    lerobot = _lerobot()
    config_class, factory = lerobot["lerobot.configs.policies"].PreTrainedConfig, lerobot["lerobot.policies.factory"]
    try:
        config = config_class.from_pretrained(folder, local_files_only=True)
        config.device = "cuda" if torch.cuda.is_available() else "cpu"
        config.pretrained_path = folder
        if "pretrained_backbone_weights" in {field.name for field in dataclasses.fields(config)}:
            config.pretrained_backbone_weights = None  # the folder holds the trained ones; these would be fetched
        policy = factory.get_policy_class(config.type).from_pretrained(
            folder, config=config, local_files_only=True, strict=True
        )
        device = {"device_processor": {"device": config.device}}
        pipelines = factory.make_pre_post_processors(config, str(folder), preprocessor_overrides=device)
    except Exception as error:
        raise CheckpointError(
            f"LeRobot cannot load {folder}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        ) from error
    _check_weights(folder / WEIGHTS, policy)
    return LoadedPolicy(policy.eval(), *pipelines)


def _check_weights(file: Path, policy: Any) -> None:
    """Return if the policy has the weights of the file: LeRobot may go on without some of them."""
    own = policy.state_dict()
    try:
        with safe_open(file, framework="pt") as stored:
            for name in stored.keys():  # noqa: SIM118  (it is no mapping)
                tensor = stored.get_tensor(name)
                if name not in own or not torch.equal(own[name].cpu(), tensor.to(own[name].dtype)):
                    raise CheckpointError(f"{file}: LeRobot did not load '{name}'")
    except SafetensorError as error:
        raise CheckpointError(f"{file} is damaged: {error}") from error


def _lerobot() -> dict[str, Any]:
    os.environ.update(OFFLINE)
    names = ("lerobot.policies", "lerobot.configs.policies", "lerobot.policies.factory", "lerobot.processor")
    return {name: require_library(name, what="policy=lerobot:...", extra="lerobot") for name in names}
