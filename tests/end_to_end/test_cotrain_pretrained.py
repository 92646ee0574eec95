"""Every family of pretrained backbones, co-trained: web samples, questions, closed loop, and back to its own files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vla.commands import main
from vla.errors import ConfigError, DataError
from vla.interfaces import EpisodeSpec
from vla.model.vla_model import Head
from vla.model.vlm.pretrained_files import describe, load_weights, save_native
from vla.model.vlm.vlm_backbone import VlmBackbone
from vla.model.vlm.vlm_config import ActionIds, PretrainedConfig, VlmConfig
from vla.model.vlm.vlm_model import VlmModel
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla.tokens.words import PretrainedWords
from vla_datasets.store import EpisodeStore
from vla_datasets.web.samples import WebSample
from vla_datasets.web.shards import write_shards
from vla_policies.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vla_policies.gate import ask
from vla_policies.rollout import rollout
from vla_policies.train import LOG, TrainConfig, train
from vla_policies.trained_policy import trained_policy
from vla_sim.demonstrations import demonstrate
from vla_sim.environment import TabletopEnvironment

pytest.importorskip("transformers")

from vla.testing.tiny_vlms import NAMES, SENTENCES, family_of, write_tiny_vlm

COLOURS = {"red": (200, 30, 30), "blue": (30, 30, 200)}


def squares(count: int, first: int = 0) -> list[WebSample]:
    """Pictures of one colour, and which."""
    samples = []
    for number in range(first, first + count):
        colour = list(COLOURS)[number % 2]
        image = np.full((24, 24, 3), COLOURS[colour], np.uint8)
        samples.append(WebSample((image,), "which?", colour, "colour", "CC0-1.0", f"t:{number}", scene=f"s{number}"))
    return samples


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models, two demonstrations of a tabletop, and web samples with and without pictures."""
    folder = tmp_path_factory.mktemp("given")
    for name in NAMES:
        write_tiny_vlm(name, folder / name)
    environment = TabletopEnvironment()
    store = EpisodeStore.open_or_create(folder / "store", environment.embodiment)
    for seed in range(2):
        store.append(demonstrate("reach", seed, horizon=2, environment=environment))
    environment.close()
    write_shards(squares(12), folder / "colours")
    write_shards(squares(6, first=100), folder / "new")
    sums = [{"question": f"{i} and 1?", "answer": str(i + 1), "licence": "CC0-1.0"} for i in range(6)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, sums)))
    return folder


def configured(given: Path, out: Path, name: str) -> TrainConfig:
    ids = ActionIds.LEAST_USED if name == "openvla" else ActionIds.APPENDED
    length = 120 if name == "openvla" else 48
    return TrainConfig(
        out=str(out),
        data=[str(given / "store")],
        web=[str(given / "colours"), str(given / "sums.jsonl")],
        web_share=0.5,
        gate=[str(given / "new")],
        steps=2,
        batch_size=4,
        horizon=2,
        vocabulary=9,
        validation_share=0.0,
        log_every=1,
        checkpoint_every=2,
        device="cpu",
        pretrained=PretrainedConfig(
            family=family_of(name), path=str(given / name), text_tokens=length, answer_tokens=8, action_ids=ids
        ),
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_family_learns_from_web_and_robot_answers_acts_and_goes_back_to_its_files(
    given: Path, tmp_path: Path, name: str
) -> None:
    config = configured(given, tmp_path / "run", name)
    train(config)
    for line in (tmp_path / "run" / LOG).read_text().splitlines():
        told = json.loads(line)
        assert told["action_loss"] > 0
        assert told["colours/loss"] > 0
        assert told["sums/loss"] > 0
    gate = json.loads((tmp_path / "run" / "gate.json").read_text())
    assert gate["before"]["all"]["exact"]["n"] == gate["after"]["all"]["exact"]["n"] == 6

    checkpoint = load_checkpoint(tmp_path / "run")
    policy = trained_policy(checkpoint, device="cpu", batch_size=1)
    environment = TabletopEnvironment()
    (result,) = rollout(policy, [environment], [EpisodeSpec("reach", 7)])
    environment.close()
    assert result.error is None
    assert result.steps > 0

    go_back_to_files(checkpoint, tmp_path / "native", config)


def go_back_to_files(checkpoint: Checkpoint, folder: Path, config: TrainConfig) -> None:
    """What was trained is written as its publisher would write it, and read again bit for bit."""
    model, words = checkpoint.build_model(), checkpoint.text_tokenizer
    assert isinstance(model, VlmModel)
    assert isinstance(words, PretrainedWords)
    save_native(model.backbone, words, folder)
    described, _ = describe(dataclasses.replace(config.pretrained, path=str(folder)))
    again = VlmBackbone(described, checkpoint.embodiment.cameras, checkpoint.embodiment.state_dim)
    load_weights(again, folder)
    trained = model.backbone.vlm.state_dict()
    assert all(torch.equal(tensor, trained[name]) for name, tensor in again.vlm.state_dict().items())
    published, _ = describe(config.pretrained)
    before = VlmBackbone(published, checkpoint.embodiment.cameras, checkpoint.embodiment.state_dim)
    load_weights(before, Path(config.pretrained.path))
    assert any(not torch.equal(tensor, trained[name]) for name, tensor in before.vlm.state_dict().items())


@pytest.mark.parametrize("head", [Head.AUTOREGRESSIVE, Head.FLOW])
def test_other_heads_learn_words_beside_actions(given: Path, tmp_path: Path, head: Head) -> None:
    config = dataclasses.replace(configured(given, tmp_path / "run", "smolvlm"), head=head, gate=[], steps=1)
    train(config)
    line = json.loads((tmp_path / "run" / LOG).read_text().splitlines()[0])
    assert line["colours/loss"] > 0
    assert ask(load_checkpoint(tmp_path / "run"), [str(given / "new")], 0).all.exact.n == 6


def test_colours_are_learned_from_pictures_and_told_by_the_command(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(given, tmp_path / "run", "smolvlm")
    optimizer = dataclasses.replace(config.optimizer, learning_rate=5e-3, warmup_steps=5, ema_decay=0.9)
    train(dataclasses.replace(config, web_share=1.0, steps=40, batch_size=8, optimizer=optimizer, log_every=40))
    told = json.loads((tmp_path / "run" / "gate.json").read_text())
    assert told["before"]["all"]["exact"]["success"] == 0
    assert told["after"]["all"]["exact"]["success"] == 1
    assert told["after"]["all"]["blind"]["success"] <= 0.5  # one answer to all
    assert main(["vqa", f"policy={config.out}", f"data=[{given / 'new'}]", "examples=1"]) == 0
    assert "which?  said: red  true: red" in capsys.readouterr().out


def test_words_given_up_for_actions_are_left_out_and_told(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(given, tmp_path / "run", "smolvlm")
    spoken = dataclasses.replace(config, pretrained=dataclasses.replace(config.pretrained, text_tokens=24))
    described, words = describe(dataclasses.replace(spoken.pretrained, action_ids=ActionIds.LEAST_USED))
    given_up = described.with_actions(words, 9).given_up(9)
    merged = next(text for text in SENTENCES if set(words.encode_answer(text)) & set(given_up))
    mixed = [dataclasses.replace(sample, question=merged, kind="merged") for sample in squares(3)] + squares(
        4, first=50
    )
    write_shards(mixed, tmp_path / "mixed")
    least_used = dataclasses.replace(spoken.pretrained, action_ids=ActionIds.LEAST_USED)
    train(dataclasses.replace(spoken, pretrained=least_used, web=[str(tmp_path / "mixed")], gate=[], steps=1))
    assert "merged 3" in capsys.readouterr().err
    line = json.loads((tmp_path / "run" / LOG).read_text().splitlines()[0])
    assert 0 < line["mixed/loss"] < 100


def test_a_source_of_which_nothing_can_be_said_is_refused(given: Path, tmp_path: Path) -> None:
    config = configured(given, tmp_path / "run", "smolvlm")
    short = dataclasses.replace(config.pretrained, answer_tokens=1)
    with pytest.raises(DataError, match=r"answers 1 \(pretrained.answer_tokens=\)"):
        train(dataclasses.replace(config, pretrained=short))


def test_a_checkpoint_of_before_answers_has_no_voice(tmp_path: Path, given: Path) -> None:
    store = EpisodeStore.open_or_create(tmp_path / "store", SMALL_EMBODIMENT)
    for seed in range(2):
        store.append(make_episode(SMALL_EMBODIMENT, steps=8, seed=seed))
    config = dataclasses.replace(
        configured(given, tmp_path / "run", "smolvlm"), data=[str(tmp_path / "store")], web=[], gate=[], steps=1
    )
    train(config)
    checkpoint = load_checkpoint(tmp_path / "run")
    assert isinstance(checkpoint.backbone, VlmConfig)
    tree = checkpoint.backbone.to_json()
    del tree["answer_tokens"], tree["prompt"]["end"]
    save_checkpoint(tmp_path / "old", dataclasses.replace(checkpoint, backbone=VlmConfig.from_json(tree)))
    with pytest.raises(ConfigError, match="does not answer in words"):
        ask(load_checkpoint(tmp_path / "old"), [str(given / "new")], 0)
    more = dataclasses.replace(
        config, web=[str(given / "colours")], init=str(tmp_path / "old"), out=str(tmp_path / "m")
    )
    with pytest.raises(ConfigError, match="does not answer in words"):
        train(more)
