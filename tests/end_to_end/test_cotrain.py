"""`vla train` with web samples beside the robot's: what is logged, how it goes on, what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import vla_policies.train as train_module
from tests.small_runs import fill_store, small_run
from vla.commands import main
from vla.errors import ConfigError, DataError
from vla_datasets.web.samples import WebSample, location_words
from vla_datasets.web.shards import write_shards
from vla_policies.checkpoint import load_checkpoint
from vla_policies.train import LOG, TrainConfig, Words, train
from vla_policies.training_log import TIMES

COLOURS = {"red": (200, 30, 30), "blue": (30, 30, 200), "green": (30, 160, 30)}


def make_web(count: int, *, kind: str = "vqa") -> list[WebSample]:
    """Squares of one colour in one quarter of a grey picture: what colour, and where."""
    samples = []
    for number in range(count):
        random = np.random.default_rng(number)
        colour = list(COLOURS)[number % 3]
        top, left = random.integers(0, 2, 2)
        image = np.full((24, 24, 3), 128, np.uint8)
        image[12 * top : 12 * top + 12, 12 * left : 12 * left + 12] = COLOURS[colour]
        question, answer = "what colour is it?", colour
        if kind == "point":
            question, answer = f"where is the {colour} one?", location_words(0.25 + 0.5 * top, 0.25 + 0.5 * left)
        samples.append(WebSample((image,), question, answer, kind, "CC0-1.0", f"t:{number}", scene=f"s{number}"))
    return samples


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    fill_store(tmp_path / "store")
    write_shards(make_web(40), tmp_path / "colours")
    write_shards(make_web(20, kind="point"), tmp_path / "places")
    (tmp_path / "sums.jsonl").write_text(
        "\n".join(
            json.dumps({"question": f"{i} plus one?", "answer": str(i + 1), "licence": "CC0-1.0"}) for i in range(9)
        )
    )
    return small_run(
        tmp_path,
        web=[str(tmp_path / name) for name in ("colours", "places", "sums.jsonl")],
        web_weights=[2.0, 1.0, 1.0],
        web_share=0.5,
        words=Words.FITTED,
    )


def read_log(config: TrainConfig) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (Path(config.out) / LOG).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def test_each_source_has_its_losses_in_the_log(config: TrainConfig) -> None:
    train(config)
    for line in read_log(config):
        assert line["action_loss"] > 0
        for source in ("colours", "places", "sums"):
            assert line[f"{source}/loss"] > 0
            assert 0 <= line[f"{source}/words_right"] <= 1
        assert line["validation_colours/loss"] > 0


@pytest.mark.parametrize("stop_at", [2, 3])
def test_a_resumed_run_has_the_losses_of_one_that_was_never_stopped(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    train(config)
    stopped = dataclasses.replace(config, out=str(tmp_path / "stopped"))
    train_step = train_module.Trainer.train_step

    def interrupted(self: train_module.Trainer, *batches: object) -> object:
        if self.step == stop_at:
            raise KeyboardInterrupt
        return train_step(self, *batches)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(train_module.Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(stopped)
    monkeypatch.undo()
    train(stopped)
    assert read_log(stopped) == read_log(config)
    whole, resumed = load_checkpoint(Path(config.out)), load_checkpoint(Path(stopped.out))
    for name, tensor in whole.weights.items():
        assert torch.equal(resumed.weights[name], tensor)


def test_the_robot_samples_are_those_of_a_run_without_web(config: TrainConfig, tmp_path: Path) -> None:
    alone = dataclasses.replace(config, web_share=0.0, out=str(tmp_path / "alone"), steps=1)
    train(alone)
    train(dataclasses.replace(config, steps=1))
    assert read_log(alone)[0]["action_loss"] == read_log(config)[0]["action_loss"]
    assert read_log(alone)[0]["grounding_loss"] == read_log(config)[0]["grounding_loss"]


def test_web_samples_alone_can_be_trained_on_and_the_robot_comes_later(config: TrainConfig, tmp_path: Path) -> None:
    aligned = dataclasses.replace(config, web_share=1.0, out=str(tmp_path / "aligned"))
    train(aligned)
    assert "action_loss" not in read_log(aligned)[0]
    train(dataclasses.replace(config, init=aligned.out))
    assert read_log(config)[0]["action_loss"] > 0


def test_a_stopped_run_on_web_samples_alone_goes_on(config: TrainConfig, tmp_path: Path) -> None:
    """The other cameras never have a gradient, nor moments of one."""
    short = dataclasses.replace(config, web_share=1.0, steps=2)
    train(short)
    longer = dataclasses.replace(short, out=str(tmp_path / "more"), init=short.out, steps=2)
    train(longer)
    train(longer)


def test_web_samples_need_words_of_their_own(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="words=fitted"):
        train(dataclasses.replace(config, words=Words.SHIPPED))


def test_a_checkpoint_without_a_voice_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    silent = dataclasses.replace(config, web=[], web_weights=[], out=str(tmp_path / "silent"), steps=1)
    train(silent)
    with pytest.raises(ConfigError, match=r"does not answer in words \(answer_tokens=0\)"):
        train(dataclasses.replace(config, init=silent.out))


def test_what_does_not_fit_is_left_out_and_told(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = make_web(12)
    samples[0] = dataclasses.replace(samples[0], answer="a " * 40)
    samples[1] = dataclasses.replace(samples[1], images=samples[1].images * 2, kind="difference")
    write_shards(samples, tmp_path / "mixed")
    train(dataclasses.replace(config, web=[str(tmp_path / "mixed")], web_weights=[], steps=1))
    told = capsys.readouterr().err
    assert "1 web samples have more than one picture and are left out: difference 1" in told
    assert "answer_tokens and are left out: vqa 1" in told


def test_a_source_of_which_nothing_fits_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    write_shards([dataclasses.replace(s, answer="a " * 40) for s in make_web(3)], tmp_path / "long")
    with pytest.raises(DataError, match="no sample of 'long' is left: questions may have 16 tokens"):
        train(dataclasses.replace(config, web=[str(tmp_path / "long")], web_weights=[]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"web_share": 1.5}, "web_share is a share"),
        ({"web_share": 0.01}, "less than one sample"),
        ({"web_weights": [1.0]}, "3 sources of web samples and 1 weights"),
    ],
)
def test_shares_and_weights_that_make_no_sense_are_refused(
    config: TrainConfig, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(dataclasses.replace(config, **changes))  # pyright: ignore[reportArgumentType]


# --------------------------------------------------------------------------- questions


def test_questions_are_answered_and_told_by_kind(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    optimizer = dataclasses.replace(config.optimizer, learning_rate=1e-2, warmup_steps=5, ema_decay=0.9)
    learned = dataclasses.replace(
        config, web_share=1.0, steps=60, batch_size=32, log_every=60, checkpoint_every=60, optimizer=optimizer
    )
    train(learned)
    write_shards(make_web(60)[40:], tmp_path / "new")
    out = tmp_path / "vqa.json"
    asked = [f"data=[{tmp_path / 'new'},{tmp_path / 'places'}]", f"out={out}", "examples=1"]
    assert main(["vqa", f"policy={config.out}", *asked]) == 0
    told = json.loads(out.read_text())
    assert told["kinds"]["vqa"]["exact"]["n"] == 20
    assert told["kinds"]["vqa"]["exact"]["success"] > 0.8
    assert told["kinds"]["vqa"]["blind"]["success"] < 0.6
    assert told["kinds"]["point"]["looked"]["n"] == 40
    assert 0 < told["kinds"]["point"]["distance"] <= 1
    printed = capsys.readouterr().out
    assert "blind" in printed
    assert "what colour is it?  said:" in printed


def test_a_run_tells_what_it_did_to_language_and_vision(config: TrainConfig, tmp_path: Path) -> None:
    aligned = dataclasses.replace(config, web_share=1.0, steps=60, batch_size=32, out=str(tmp_path / "aligned"))
    train(dataclasses.replace(aligned, optimizer=dataclasses.replace(config.optimizer, warmup_steps=5, ema_decay=0.9)))
    robot_only = dataclasses.replace(config, init=aligned.out, web=[], web_weights=[], gate=[config.web[0]])
    train(robot_only)
    told = json.loads((Path(config.out) / "gate.json").read_text())
    before, after = told["before"]["all"]["exact"], told["after"]["all"]["exact"]
    assert (told["before"]["step"], told["after"]["step"]) == (0, 6)
    assert before["n"] == after["n"] == 40
    assert before["success"] > 0
    assert told["kept"] == pytest.approx(after["success"] / before["success"])


def test_a_policy_without_a_voice_is_not_asked(config: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    train(dataclasses.replace(config, web=[], web_weights=[], steps=1))
    assert main(["vqa", f"policy={config.out}", f"data=[{config.web[0]}]"]) == 2
    assert "does not answer in words" in capsys.readouterr().err
