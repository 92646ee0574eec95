"""Models from files: read strictly, written back as they were, refused with what is wrong."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vla.embodiment import CameraSpec
from vla.errors import CheckpointError, ConfigError, StatisticsError
from vla.model.vla_model import Head
from vla.model.vlm.cpu_attention import NAME
from vla.model.vlm.openvla_files import read_tensors
from vla.model.vlm.pretrained_files import describe, load_weights, save_native
from vla.model.vlm.vlm_backbone import VlmBackbone
from vla.model.vlm.vlm_config import ActionIds, PretrainedConfig, VlmConfig
from vla.normalization import Statistics
from vla.testing import SMALL_EMBODIMENT
from vla.tokens.files import fit_tokenizer
from vla_policies.checkpoint import Checkpoint, load_checkpoint, make_model, save_checkpoint

pytest.importorskip("transformers")

from vla.testing.tiny_vlms import NAMES, family_of, tiny_words, write_tiny_vlm

CAMERAS = (CameraSpec("scene", 16, 16),)
WEIGHTS = "model.safetensors"


def choice(name: str, folder: Path) -> PretrainedConfig:
    return PretrainedConfig(family=family_of(name), path=str(folder))


def loaded(name: str, folder: Path) -> VlmBackbone:
    config, _ = describe(choice(name, folder))
    backbone = VlmBackbone(config, CAMERAS, state_dim=3)
    load_weights(backbone, folder)
    return backbone


def change_weights(folder: Path, change: Any) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


@pytest.fixture
def smolvlm(tmp_path: Path) -> Path:
    return write_tiny_vlm("smolvlm", tmp_path / "smolvlm")


@pytest.mark.parametrize("name", NAMES)
def test_a_model_written_back_is_the_one_that_was_read(name: str, tmp_path: Path) -> None:
    given = write_tiny_vlm(name, tmp_path / "given")
    save_native(loaded(name, given), tiny_words(name), tmp_path / "back")
    before, after = read_tensors(given), read_tensors(tmp_path / "back")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert (tmp_path / "back" / "tokenizer.json").read_text() == (given / "tokenizer.json").read_text()
    once, twice = loaded(name, given).vlm.state_dict(), loaded(name, tmp_path / "back").vlm.state_dict()
    assert all(torch.equal(tensor, twice[key]) for key, tensor in once.items())


def test_weights_in_several_files_are_read_as_one(tmp_path: Path, smolvlm: Path) -> None:
    whole = load_file(smolvlm / WEIGHTS)
    names = sorted(whole)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    expected = loaded("smolvlm", smolvlm).vlm.state_dict()
    (smolvlm / WEIGHTS).unlink()
    for file, part in parts.items():
        save_file({name: whole[name] for name in part}, smolvlm / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, part in parts.items() for name in part}}
    (smolvlm / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    found = loaded("smolvlm", smolvlm).vlm.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    (smolvlm / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors"):
        loaded("smolvlm", smolvlm)


def test_every_missing_weight_is_listed(smolvlm: Path) -> None:
    def drop(weights: dict[str, torch.Tensor]) -> None:
        del weights["model.text_model.norm.weight"], weights["model.connector.modality_projection.proj.weight"]

    change_weights(smolvlm, drop)
    listed = r"2 missing \(model.connector.modality_projection.proj.weight, model.text_model.norm.weight\)"
    with pytest.raises(CheckpointError, match=listed):
        loaded("smolvlm", smolvlm)


def test_every_weight_without_a_place_is_listed(smolvlm: Path) -> None:
    change_weights(smolvlm, lambda weights: weights.update({"model.text_model.more.weight": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match=r"1 without a place \(model.text_model.more.weight\)"):
        loaded("smolvlm", smolvlm)


def test_every_weight_of_another_shape_is_listed_with_both(smolvlm: Path) -> None:
    change_weights(smolvlm, lambda weights: weights.update({"model.text_model.norm.weight": torch.zeros(31)}))
    with pytest.raises(CheckpointError, match=r"of another shape \(model.text_model.norm.weight is \[31\].*\[32\]"):
        loaded("smolvlm", smolvlm)


def test_weights_that_could_run_code_are_not_read(smolvlm: Path) -> None:
    (smolvlm / WEIGHTS).rename(smolvlm / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"no \*.safetensors: weights in other formats can run code"):
        loaded("smolvlm", smolvlm)


def test_what_a_file_says_of_code_kernels_and_number_types_is_dropped(smolvlm: Path) -> None:
    config = json.loads((smolvlm / "config.json").read_text())
    config |= {"auto_map": {"AutoModel": "evil.Evil"}, "_attn_implementation": "someone/kernel", "dtype": "float16"}
    config["text_config"] |= {"quantization_config": {"quant_method": "gptq"}, "attn_implementation": "someone/kernel"}
    (smolvlm / "config.json").write_text(json.dumps(config))
    backbone = loaded("smolvlm", smolvlm)
    assert backbone.sizes._attn_implementation == NAME
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}


def test_a_model_of_another_family_is_refused(smolvlm: Path) -> None:
    with pytest.raises(ConfigError, match="needs a model of type 'paligemma', its configuration: 'smolvlm'"):
        describe(choice("paligemma", smolvlm))


def test_an_unknown_family_names_the_nearest(smolvlm: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'smolvlm'"):
        describe(PretrainedConfig(family="smolvm", path=str(smolvlm)))


def test_a_path_that_is_nowhere_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="neither a folder nor a repository in the local cache"):
        describe(PretrainedConfig(family="smolvlm", path="someone/model"))


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_a_missing_or_damaged_file_is_named(smolvlm: Path, file: str) -> None:
    (smolvlm / file).write_text("{")
    with pytest.raises(CheckpointError):
        describe(choice("smolvlm", smolvlm))
    (smolvlm / file).unlink()
    with pytest.raises(CheckpointError, match=f"{file} is missing"):
        describe(choice("smolvlm", smolvlm))


def test_a_tokenizer_without_the_prompts_tokens_is_refused(smolvlm: Path) -> None:
    (smolvlm / "tokenizer.json").write_text(tiny_words("paligemma").source)
    with pytest.raises(ConfigError, match="<global-img>"):
        describe(choice("smolvlm", smolvlm))


def test_a_tokenizer_without_room_for_the_actions_is_refused_with_the_numbers(smolvlm: Path) -> None:
    config, words = describe(dataclasses.replace(choice("smolvlm", smolvlm), action_ids=ActionIds.LEAST_USED))
    fits = config.with_actions(words, words.room)
    assert fits.first_action_id is not None
    with pytest.raises(ConfigError, match=rf"{words.room + 1} action tokens do not fit: .* last {words.room} ordinary"):
        config.with_actions(words, words.room + 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_survives_json(name: str, tmp_path: Path) -> None:
    config, _ = describe(choice(name, write_tiny_vlm(name, tmp_path / name)))
    assert VlmConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


# --------------------------------------------------------------------------- every family


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_wrong_with_a_familys_weights_is_listed_at_once(name: str, tmp_path: Path) -> None:
    folder = write_tiny_vlm(name, tmp_path / name)
    weights = read_tensors(folder)
    for file in folder.glob("*.safetensors*"):
        file.unlink()
    norm = "self_attn_layer_norm" if name == "florence2" else "input_layernorm"
    gone, longer = [key for key in sorted(weights) if key.endswith(f"{norm}.weight")][:2]
    own = list(weights[longer].shape)
    del weights[gone]
    weights[longer] = torch.zeros(own[0] + 1)
    weights["model.nobody.weight"] = torch.zeros(2)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(CheckpointError) as caught:
        loaded(name, folder)
    told = str(caught.value)
    layers = [rf"layers\.{number}\.{norm}\.weight" for number in (0, 1)]
    assert re.search(rf"1 missing \([^)]*{layers[0]}\)", told), told
    assert re.search(r"1 without a place \([^)]*nobody\.weight\)", told), told
    assert re.search(rf"1 of another shape \([^)]*{layers[1]} is \[{own[0] + 1}\].*\[{own[0]}\]", told), told


@pytest.mark.parametrize("name", NAMES)
def test_a_familys_tokenizer_says_how_much_room_it_has(name: str, tmp_path: Path) -> None:
    least_used = dataclasses.replace(choice(name, write_tiny_vlm(name, tmp_path / name)))
    config, words = describe(dataclasses.replace(least_used, action_ids=ActionIds.LEAST_USED))
    assert len(config.with_actions(words, words.room).given_up(words.room)) == words.room
    with pytest.raises(ConfigError, match=rf"{words.room + 1} action tokens do not fit: .* last {words.room} ordinary"):
        config.with_actions(words, words.room + 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_with_statistics_of_another_robot_is_refused_with_the_fields(name: str, tmp_path: Path) -> None:
    config, words = describe(choice(name, write_tiny_vlm(name, tmp_path / name)))
    body = SMALL_EMBODIMENT
    tokenizer = fit_tokenizer("bins", np.zeros((4, 2, body.action_dim), np.float32), body, 9)
    model = make_model(body, tokenizer, words, config, Head.SLOTS)
    other = Statistics.of(np.eye(3), ["knee", "ankle", "toe"]).without_values()
    saved = Checkpoint(body, other, tokenizer, words, config, Head.SLOTS, {}, 0, model.state_dict())
    save_checkpoint(tmp_path / "run", saved)
    with pytest.raises(StatisticsError, match="knee"):
        load_checkpoint(tmp_path / "run")
