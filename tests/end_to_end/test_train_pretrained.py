"""Pretrained backbones through the same commands as `compact`: train, go on, evaluate in closed loop."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from vla import commands
from vla.errors import CheckpointError, ConfigError
from vla.interfaces import Observation
from vla.model.connectors import ConnectorKind
from vla.model.lora import AdapterConfig
from vla.model.vla_model import Head
from vla.model.vlm.pretrained_files import describe, load_weights
from vla.model.vlm.vlm_backbone import VlmBackbone
from vla.model.vlm.vlm_config import ActionIds, PretrainedConfig, VlmConfig
from vla.testing import SMALL_EMBODIMENT, check_policy, make_episode
from vla.testing.fakes import make_observation
from vla.tokens.words import PretrainedWords
from vla_datasets.store import EpisodeStore
from vla_policies.checkpoint import load_checkpoint, make_model
from vla_policies.history import Recollection
from vla_policies.token_policy import TokenPolicy
from vla_policies.train import LOG, TrainConfig, train
from vla_policies.trained_policy import trained_policy

pytest.importorskip("transformers")

from vla.testing.tiny_vlms import NAMES, family_of, write_tiny_vlm


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in NAMES:
        write_tiny_vlm(name, folder / name)
    return folder


@pytest.fixture
def config(tmp_path: Path, models: Path) -> TrainConfig:
    store = EpisodeStore.open_or_create(tmp_path / "store", SMALL_EMBODIMENT)
    for seed in range(4):
        store.append(make_episode(SMALL_EMBODIMENT, steps=8, seed=seed, lookahead=2))
    return TrainConfig(
        out=str(tmp_path / "run"),
        data=[str(tmp_path / "store")],
        steps=2,
        batch_size=4,
        horizon=2,
        vocabulary=9,
        validation_share=0.0,
        log_every=1,
        checkpoint_every=1,
        device="cpu",
        pretrained=pretrained(models, "paligemma"),
    )


def pretrained(models: Path, name: str, ids: ActionIds = ActionIds.APPENDED) -> PretrainedConfig:
    length = 100 if name == "openvla" else 24
    return PretrainedConfig(family=family_of(name), path=str(models / name), text_tokens=length, action_ids=ids)


@pytest.mark.parametrize("name", NAMES)
def test_every_family_trains_and_keeps_the_contract_of_policies(config: TrainConfig, models: Path, name: str) -> None:
    train(dataclasses.replace(config, pretrained=pretrained(models, name)))
    check_policy(lambda: TokenPolicy.from_checkpoint(Path(config.out), device="cpu"))


@pytest.mark.parametrize(
    ("name", "head"),
    [("smolvlm", Head.AUTOREGRESSIVE), ("smolvlm", Head.SLOTS), ("florence2", Head.AUTOREGRESSIVE)],
)
def test_text_ids_may_stand_for_actions(config: TrainConfig, models: Path, name: str, head: Head) -> None:
    train(dataclasses.replace(config, pretrained=pretrained(models, name, ActionIds.LEAST_USED), head=head))
    check_policy(lambda: TokenPolicy.from_checkpoint(Path(config.out), device="cpu"))


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("smolvlm", Head.REGRESSION),
        ("paligemma", Head.FLOW),
        ("qwen3_vl", Head.FLOW),
        ("smolvlm", Head.INSULATED),
        ("florence2", Head.REGRESSION),
        ("florence2", Head.INSULATED),
    ],
)
def test_heads_that_say_numbers_stand_on_pretrained_backbones(
    config: TrainConfig, models: Path, name: str, head: Head
) -> None:
    some = dataclasses.replace(config, pretrained=pretrained(models, name), head=head, committed_share=0.5)
    train(some)
    check_policy(lambda: trained_policy(load_checkpoint(Path(config.out)), device="cpu", batch_size=2))


def test_training_begins_with_the_published_weights_and_moves_them(config: TrainConfig, models: Path) -> None:
    from safetensors.torch import load_file

    train(dataclasses.replace(config, steps=1))
    checkpoint = load_checkpoint(Path(config.out))
    given = load_file(models / "paligemma" / "model.safetensors")
    name = "vision_tower.embeddings.patch_embedding.weight"
    (published,) = [tensor for key, tensor in given.items() if key.endswith("embeddings.patch_embedding.weight")]
    distance = (checkpoint.weights[f"backbone.vlm.{name}"] - published).abs().max()
    assert 0 < distance < 1e-3


def test_a_checkpoint_needs_none_of_the_models_files(config: TrainConfig, tmp_path: Path) -> None:
    own = write_tiny_vlm("paligemma", tmp_path / "own")
    train(dataclasses.replace(config, pretrained=dataclasses.replace(config.pretrained, path=str(own))))
    for file in own.iterdir():
        file.unlink()
    checkpoint = load_checkpoint(Path(config.out))
    assert isinstance(checkpoint.text_tokenizer, PretrainedWords)
    assert isinstance(checkpoint.backbone, VlmConfig)
    check_policy(lambda: TokenPolicy.from_checkpoint(Path(config.out), device="cpu"))


def test_an_altered_tokenizer_file_is_refused(config: TrainConfig) -> None:
    train(config)
    (words,) = Path(config.out).glob("words-*.json")
    words.write_text(words.read_text().replace("put", "tup"))
    with pytest.raises(CheckpointError, match=r"words-.*\.json is altered"):
        load_checkpoint(Path(config.out))


def test_a_resumed_run_has_the_losses_of_one_that_was_never_stopped(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vla_policies.train as train_module

    train(config)
    stopped = dataclasses.replace(config, out=str(tmp_path / "stopped"))
    step = train_module.Trainer.train_step

    def interrupted(self: train_module.Trainer, *batches: Any) -> train_module.StepMetrics:
        if self.step == 1:
            raise KeyboardInterrupt
        return step(self, *batches)

    monkeypatch.setattr(train_module.Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(stopped)
    monkeypatch.undo()
    train(stopped)
    assert _losses(stopped) == _losses(config)
    whole, resumed = load_checkpoint(Path(config.out)), load_checkpoint(Path(stopped.out))
    assert all(torch.equal(resumed.weights[name], tensor) for name, tensor in whole.weights.items())


def _losses(config: TrainConfig) -> list[float]:
    return [json.loads(line)["loss"] for line in (Path(config.out) / LOG).read_text().splitlines()]


def test_a_checkpoint_of_another_backbone_is_not_gone_on_with(config: TrainConfig, tmp_path: Path) -> None:
    train(config)
    other = dataclasses.replace(config, init=config.out, out=str(tmp_path / "more"), pretrained=PretrainedConfig())
    with pytest.raises(
        ConfigError, match="the checkpoint's backbone is paligemma, not compact: give backbone=paligemma"
    ):
        train(other)
    assert not (tmp_path / "more").exists()


def test_a_missing_path_is_told_before_data_is_collected(config: TrainConfig, tmp_path: Path) -> None:
    nowhere = dataclasses.replace(config.pretrained, path="")
    with pytest.raises(ConfigError, match=r"needs pretrained.path=FOLDER"):
        train(dataclasses.replace(config, pretrained=nowhere, data=[], collect=["episodes=1"]))


OVER_TIME = ("pretrained.connector=causal_resampler", "pretrained.history=3", "pretrained.connector_tokens=4")


@pytest.mark.parametrize(("name", "more"), [("smolvlm", ()), ("florence2", ()), ("smolvlm", OVER_TIME)])
def test_a_pretrained_backbone_acts_in_closed_loop_by_the_same_commands(
    tmp_path: Path, models: Path, name: str, more: tuple[str, ...]
) -> None:
    store, run, report = tmp_path / "store", tmp_path / "run", tmp_path / "report"
    assert commands.main(["collect", "tasks=[reach]", "episodes=2", "workers=1", f"out={store}"]) == 0
    arguments = ["experiment=tabletop-small", f"backbone={name}", f"pretrained.path={models / name}", *more]
    small = ["steps=2", "batch_size=4", "dagger_steps=[]", "threads=1", "device=cpu"]
    assert commands.main(["train", *arguments, *small, f"data=[{store}]", f"out={run}"]) == 0
    loop = ["suite=tabletop", "tasks=[reach]", "episodes=1", "controls=[]", "workers=1", "videos=0"]
    assert commands.main(["eval", f"policy={run}", *loop, f"out={report}"]) == 0
    results = json.loads((report / "report.json").read_text())
    assert results["latency_ms"]["p50"] > 0


def observed(seed: int, step: int) -> Observation:
    """Of an episode of noise, with the pictures of the steps before."""
    recollection, dt_s = Recollection(3), SMALL_EMBODIMENT.control_dt_s
    seen = [make_observation(SMALL_EMBODIMENT, 1000 * seed + at, time_s=at * dt_s) for at in range(step + 1)]
    return [recollection.with_past(observation) for observation in seen][-1]


@pytest.mark.parametrize("connector", [ConnectorKind.OWN, ConnectorKind.CAUSAL_RESAMPLER])
def test_frames_of_before_are_pictures_too_or_resampled_over_time(
    config: TrainConfig, connector: ConnectorKind
) -> None:
    choice = dataclasses.replace(config.pretrained, history=3, connector=connector, connector_tokens=5)
    train(dataclasses.replace(config, pretrained=choice, head=Head.AUTOREGRESSIVE))
    checkpoint = load_checkpoint(Path(config.out))
    backbone: Any = checkpoint.build_model().backbone
    tokens = {ConnectorKind.OWN: 3 * 16}.get(connector, 5)
    others = len(backbone.config.prompt.opening) + 24 + 1 + len(backbone.config.prompt.closing)
    assert backbone.num_prefix_tokens == 2 * tokens + others
    policy = TokenPolicy(checkpoint, device="cpu")
    shown = observed(5, 3)
    black = tuple({name: 0 * image for name, image in images.items()} for images in shown.past or ())
    (seen,), (unseen,) = (
        policy.predict_with_tokens([observation])[1] for observation in (shown, dataclasses.replace(shown, past=black))
    )
    assert abs(seen.probability - unseen.probability).max() > 1e-7
    check_policy(lambda: TokenPolicy(checkpoint, device="cpu"), observe=observed)


@pytest.mark.parametrize("connector", [ConnectorKind.POOLED, ConnectorKind.RESAMPLER, ConnectorKind.Q_FORMER])
def test_pictures_may_take_fewer_tokens(config: TrainConfig, connector: ConnectorKind) -> None:
    short = dataclasses.replace(config.pretrained, connector=connector, connector_tokens=3)
    train(dataclasses.replace(config, pretrained=short, steps=1))
    checkpoint = load_checkpoint(Path(config.out))
    model = checkpoint.build_model()
    own = make_model(
        checkpoint.embodiment,
        checkpoint.action_tokenizer,
        checkpoint.text_tokenizer,
        dataclasses.replace(checkpoint.backbone, connector=ConnectorKind.OWN),
        checkpoint.head,
    )
    saved = {ConnectorKind.POOLED: 2 * (16 - 4)}.get(connector, 2 * (16 - 3))
    assert own.backbone.num_prefix_tokens - model.backbone.num_prefix_tokens == saved
    check_policy(lambda: TokenPolicy.from_checkpoint(Path(config.out), device="cpu"))


def test_adapters_spare_every_published_weight_and_are_merged_for_running(
    config: TrainConfig, tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapted = dataclasses.replace(config, adapter=AdapterConfig(rank=2))
    train(adapted)
    assert "weights train (" in capsys.readouterr().err
    checkpoint = load_checkpoint(Path(config.out))
    untouched = {name for name in checkpoint.weights if "lora" not in name and name.startswith("backbone.vlm.")}
    published = load_published(models / "paligemma")
    for name in untouched:
        assert torch.equal(checkpoint.weights[name], published[name]), name
    assert len(untouched) > 50
    assert not any("lora" in name for name in checkpoint.build_model().state_dict())
    more = dataclasses.replace(config, out=str(tmp_path / "more"), init=config.out, steps=1)
    train(more)
    assert not any("lora" in name for name in load_checkpoint(Path(more.out)).weights)
    check_policy(lambda: TokenPolicy.from_checkpoint(Path(config.out), device="cpu"))


def load_published(folder: Path) -> dict[str, torch.Tensor]:
    """The published weights, under the names that they have in a checkpoint."""
    choice = PretrainedConfig(family="paligemma", path=str(folder))
    backbone = VlmBackbone(describe(choice)[0], SMALL_EMBODIMENT.cameras, SMALL_EMBODIMENT.state_dim)
    load_weights(backbone, folder)
    return {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
