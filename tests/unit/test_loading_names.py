"""From a policy's name to the policy, or to a message that helps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vla.errors import CheckpointError, ConfigError, EmbodimentMismatch, StoreError
from vla_datasets.store import EpisodeStore
from vla_policies import loading
from vla_policies.baselines import BlindPolicy, RandomPolicy, ZeroPolicy
from vla_policies.loading import checkpoint_folder, checkpoint_hash, is_checkpoint, load_policy
from vla_sim.embodiments import TABLETOP_PANDA


@pytest.mark.parametrize(
    ("name", "kind"), [("random", RandomPolicy), ("zero", ZeroPolicy), ("blind:zero", BlindPolicy)]
)
def test_a_baseline_is_found_by_its_name(name: str, kind: type) -> None:
    policy = load_policy(name, TABLETOP_PANDA)
    assert isinstance(policy, kind)
    assert policy.embodiment == TABLETOP_PANDA


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown policy 'randm'; did you mean 'random'\? \(choices: .*pretrained.*\)"
    ):
        load_policy("randm", TABLETOP_PANDA)


def test_a_name_that_the_caller_knows_is_among_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'scripted'\?"):
        load_policy("scriptd", TABLETOP_PANDA, also_known=("scripted",))


def test_a_path_without_a_folder_is_an_absent_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"there is no checkpoint folder {tmp_path}/gone"):
        load_policy(str(tmp_path / "gone"), TABLETOP_PANDA)


def test_an_empty_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load_policy(str(tmp_path), TABLETOP_PANDA)


def test_replay_without_a_store_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected replay:STORE, got 'replay' without a store"):
        load_policy("replay", TABLETOP_PANDA)


def test_replay_of_no_store_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=str(tmp_path / "gone")):
        load_policy(f"replay:{tmp_path}/gone", TABLETOP_PANDA)


def test_replay_of_an_empty_store_names_the_folder(tmp_path: Path) -> None:
    EpisodeStore.create(tmp_path / "store", TABLETOP_PANDA)
    with pytest.raises(StoreError, match=f"{tmp_path}/store is empty"):
        load_policy(f"replay:{tmp_path}/store", TABLETOP_PANDA)


def test_a_checkpoint_for_another_robot_is_refused_field_by_field(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(TABLETOP_PANDA, control_hz=20.0)
    monkeypatch.setattr("vla_policies.checkpoint.load_checkpoint", lambda folder: None)
    monkeypatch.setattr("vla_policies.trained_policy.trained_policy", lambda read, **options: ZeroPolicy(other))
    with pytest.raises(
        EmbodimentMismatch, match=rf"checkpoint {tmp_path} .* the environment: control_hz: 10\.0 against 20"
    ):
        load_policy(str(tmp_path), TABLETOP_PANDA)


def test_the_pretrained_checkpoint_lies_in_the_package() -> None:
    assert checkpoint_folder("pretrained") == Path(loading.__file__).parent / "pretrained"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("pretrained", True), ("runs/a", True), ("random", False), ("blind:runs/a", False), ("replay:data/a", False)],
)
def test_a_checkpoint_is_told_from_a_baseline(name: str, expected: bool) -> None:
    assert is_checkpoint(name) == expected


def test_a_hash_is_of_the_checkpoint_behind_the_name(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.json").write_text("{}")
    assert checkpoint_hash(f"blind:{tmp_path}") == checkpoint_hash(str(tmp_path))
    assert checkpoint_hash("random") is None
