"""Actions and an answer in words from one pass: the same as from two, whatever the head and the backbone."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.small_runs import SMALL, small_run
from vla.errors import CheckpointError, ConfigError, DataError
from vla.interfaces import Observation
from vla.model.continuous import ChunkTargets
from vla.model.kinds import AnyModel
from vla.model.vla_model import Head
from vla.model.vlm.vlm_config import ActionIds, PretrainedConfig
from vla.testing import SMALL_EMBODIMENT, check_policy, make_episode
from vla_datasets.store import EpisodeStore
from vla_datasets.web.samples import parse_locations
from vla_policies.action_objective import action_loss
from vla_policies.batches import Batch
from vla_policies.checkpoint import load_checkpoint
from vla_policies.continuous_policy import ContinuousPolicy
from vla_policies.frame_questions import QUESTIONS, Asked
from vla_policies.token_policy import TokenPolicy
from vla_policies.train import LOG, TrainConfig, Words, train
from vla_policies.trained_policy import trained_policy

ROWS = 4


def labelled(seed: int) -> Any:
    """An episode whose target the oracle sees in one of two places, as its first picture shows by its brightness."""
    episode = make_episode(SMALL_EMBODIMENT, steps=8, seed=seed, lookahead=2)
    camera = SMALL_EMBODIMENT.cameras[0].name
    bright = seed % 2
    images = {**episode.images, camera: np.full_like(episode.images[camera], 40 + 180 * bright)}
    steps = len(episode.actions)
    labels = {
        **episode.labels,
        "target": np.full((steps, 2), 0.25 + 0.5 * bright, np.float32),
        "destination": np.full((steps, 2), np.nan, np.float32),
    }
    return dataclasses.replace(
        episode, images=images, labels=labels, task="put_on_pad", instruction="take the red block"
    )


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    store = EpisodeStore.open_or_create(tmp_path / "store", SMALL_EMBODIMENT)
    for seed in range(6):
        store.append(labelled(seed))
    return small_run(
        tmp_path,
        ask=[Asked.TARGET, Asked.TASK, Asked.COLOUR],
        ask_share=0.8,
        words=Words.FITTED,
        steps=2,
        backbone=dataclasses.replace(SMALL, text_tokens=24),
    )


def batch_of(model: AnyModel, answers: torch.Tensor | None) -> Batch:
    random = torch.Generator().manual_seed(0)
    body, text_tokens = SMALL_EMBODIMENT, model.backbone.config.text_tokens
    images = {
        c.name: torch.randint(0, 256, (ROWS, c.height, c.width, 3), generator=random).to(torch.uint8)
        for c in body.cameras
    }
    actions = torch.randint(0, 9, (ROWS, model.num_action_tokens), generator=random)
    shape = (ROWS, 2, body.action_dim)
    chunks = ChunkTargets(
        torch.randn(shape, generator=random),
        torch.zeros(shape[:2], dtype=torch.bool),
        torch.zeros(shape[:2], dtype=torch.bool),
        torch.randn(shape, generator=random),
        torch.rand(ROWS, generator=random),
    )
    return Batch(
        images,
        torch.randint(1, 200, (ROWS, text_tokens), generator=random),
        torch.arange(text_tokens).expand(ROWS, -1) >= 5,
        torch.randn(ROWS, body.state_dim, generator=random),
        actions,
        torch.zeros_like(actions, dtype=torch.bool),
        torch.full((ROWS, 2, 2), 0.5),
        chunks=chunks,
        answers=answers,
    )


def one_pass_is_two(model: AnyModel, calls: Callable[[], list[Any]]) -> None:
    answers = torch.tensor([[5, 6, 7], [8, 9, -1], [11, -1, -1], [-1, -1, -1]])
    batch = batch_of(model, answers)
    with torch.no_grad():
        prefix: Any = model.backbone.embed(batch.images, batch.text, batch.text_is_padding, batch.state)
        plain = action_loss(model, prefix, dataclasses.replace(batch, answers=None), 0.0)
        apart = model.answer_logits(prefix, answers)
        before = len(calls())
        both = action_loss(model, prefix, batch, 0.0)
    assert len(calls()) == before + 1
    torch.testing.assert_close(both.loss, plain.loss, atol=1e-5, rtol=1e-5)
    assert plain.answers is None
    assert both.answers is not None
    is_real = answers >= 0
    torch.testing.assert_close(both.answers[is_real], apart[is_real], atol=1e-4, rtol=1e-4)


def counted(model: AnyModel, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Any]]:
    """The passes through the backbone so far."""
    seen: list[Any] = []
    hidden = type(model.backbone).hidden

    def counting(self: Any, *arguments: Any) -> Any:
        seen.append(arguments)
        return hidden(self, *arguments)

    monkeypatch.setattr(type(model.backbone), "hidden", counting)
    return lambda: seen


@pytest.mark.parametrize("head", Head)
def test_one_pass_gives_what_two_do(config: TrainConfig, head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    train(dataclasses.replace(config, head=head, steps=1))
    model = load_checkpoint(Path(config.out)).build_model()
    one_pass_is_two(model, counted(model, monkeypatch))
    line = json.loads((Path(config.out) / LOG).read_text().splitlines()[0])
    assert line["answers/loss"] > 0
    assert 0 <= line["answers/words_right"] <= 1


@pytest.mark.parametrize(
    ("name", "head"),
    [("paligemma", Head.SLOTS), ("qwen3_vl", Head.AUTOREGRESSIVE), ("smolvlm", Head.FLOW), ("openvla", Head.INSULATED)],
)
def test_one_pass_gives_what_two_do_on_pretrained_backbones(
    config: TrainConfig, tmp_path: Path, name: str, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    from vla.testing.tiny_vlms import write_tiny_vlm

    path, ids = write_tiny_vlm(name, tmp_path / name), ActionIds.APPENDED
    own = PretrainedConfig(family=name, path=str(path), text_tokens=140, answer_tokens=40, action_ids=ids)
    train(dataclasses.replace(config, pretrained=own, head=head, steps=1, words=Words.SHIPPED))
    model = load_checkpoint(Path(config.out)).build_model()
    one_pass_is_two(model, counted(model, monkeypatch))
    check_policy(lambda: trained_policy(load_checkpoint(Path(config.out)), device="cpu", batch_size=2))


def observation(bright: int) -> Observation:
    first, *others = SMALL_EMBODIMENT.cameras
    images = {c.name: np.zeros((c.height, c.width, 3), np.uint8) for c in others}
    images[first.name] = np.full((first.height, first.width, 3), 40 + 180 * bright, np.uint8)
    state = np.zeros(SMALL_EMBODIMENT.state_dim, np.float32)
    return Observation(images, state, "take the red block", 0.0, frozenset([*images, "proprioception"]))


@pytest.mark.parametrize("head", [Head.SLOTS, Head.FLOW])
def test_a_policy_says_where_it_is_while_it_acts(config: TrainConfig, head: Head) -> None:
    optimizer = dataclasses.replace(config.optimizer, learning_rate=5e-3, warmup_steps=5, ema_decay=0.9)
    train(
        dataclasses.replace(
            config, head=head, steps=120, batch_size=16, log_every=120, checkpoint_every=120, optimizer=optimizer
        )
    )
    policy = trained_policy(load_checkpoint(Path(config.out)), device="cpu", batch_size=2)
    assert isinstance(policy, TokenPolicy | ContinuousPolicy)
    seen = [observation(0), observation(1)]
    policy.reset([0, 1])
    chunks, answers = policy.predict_and_tell(seen, QUESTIONS[Asked.TARGET])
    assert [chunk.actions.shape for chunk in chunks] == [(2, SMALL_EMBODIMENT.action_dim)] * 2
    for answer, place in zip(answers, (0.25, 0.75), strict=True):
        ((row, column),) = parse_locations(answer)
        assert abs(row - place) < 0.05
        assert abs(column - place) < 0.05
    assert policy.predict_and_tell(seen, QUESTIONS[Asked.COLOUR])[1] == ["red", "red"]
    assert policy.predict_and_tell(seen, QUESTIONS[Asked.TASK])[1] == ["put on pad", "put on pad"]


def test_nobody_is_asked_unless_it_is_wished_for(config: TrainConfig, tmp_path: Path) -> None:
    """The samples of a run, and what it learns of actions in its first step, are the same with questions at hand."""
    spoken = dataclasses.replace(config, steps=1, ask_share=0.0)
    train(spoken)
    line = json.loads((Path(config.out) / LOG).read_text().splitlines()[0])
    assert line["answers/loss"] == 0
    silent = dataclasses.replace(config, steps=1, ask=[], out=str(tmp_path / "silent"))
    train(silent)
    assert not any("answers" in name for name in json.loads((tmp_path / "silent" / LOG).read_text().splitlines()[0]))
    policy = trained_policy(load_checkpoint(tmp_path / "silent"), device="cpu")
    assert isinstance(policy, TokenPolicy)
    with pytest.raises(CheckpointError, match=r"does not answer in words \(answer_tokens=0\): train it with ask="):
        policy.predict_and_tell([observation(0)], "where is it?")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"ask_share": 1.5}, ConfigError, "ask_share is a share, from 0 to 1, got 1.5"),
        ({"words": Words.SHIPPED}, ConfigError, "ask= brings words of its own"),
        ({"ask": [Asked.DESTINATION]}, DataError, r"ask=\[destination\]: of no frame do the episodes say"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    config: TrainConfig, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(dataclasses.replace(config, **changes))


def test_a_question_that_does_not_fit_is_refused(config: TrainConfig) -> None:
    short = dataclasses.replace(config.backbone, text_tokens=4)
    with pytest.raises(ConfigError, match=r"with a question, .* backbone.text_tokens="):
        train(dataclasses.replace(config, backbone=short))
