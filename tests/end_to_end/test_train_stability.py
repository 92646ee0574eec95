"""`vla train` when steps go astray, with frozen parts, and with its figures elsewhere."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import vla_policies.train as train_module
from tests.small_runs import fill_store, small_run
from vla.errors import ConfigError
from vla_policies.batches import Batch
from vla_policies.checkpoint import load_checkpoint
from vla_policies.roll_back import WINDOW, RollBackConfig, SpikeGuard
from vla_policies.train import LOG, TrainConfig, train
from vla_policies.training_log import TIMES
from vla_policies.web_batches import WebBatch

Logged = dict[str, float]
TRAIN_STEP = train_module.Trainer.train_step


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    fill_store(tmp_path / "store")
    return small_run(tmp_path)


def read_log(config: TrainConfig) -> list[Logged]:
    return [json.loads(line) for line in (Path(config.out) / LOG).read_text().splitlines()]


def without_times(lines: list[Logged]) -> list[Logged]:
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def spoil(monkeypatch: pytest.MonkeyPatch, is_spoiled: Callable[[int], bool], stop_at_call: int = -1) -> None:
    """Make the states of some calls of the training step infinite, or end the run at a call."""
    train_step, calls = train_module.Trainer.train_step, iter(range(1000))

    def spoiled(self: train_module.Trainer, batch: Batch, web: WebBatch | None) -> train_module.StepMetrics:
        call = next(calls)
        if call == stop_at_call:
            raise KeyboardInterrupt
        if is_spoiled(call):
            batch = dataclasses.replace(batch, state=batch.state * torch.inf)
        return train_step(self, batch, web)

    monkeypatch.setattr(train_module.Trainer, "train_step", spoiled)


def test_a_step_that_is_not_finite_is_not_taken_and_the_run_goes_back(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(monkeypatch, lambda call: call == 3)
    train(config)
    lines = read_log(config)
    assert [line["step"] for line in lines] == [1, 2, 2, 3, 4, 5, 6]
    assert lines[2] == {"step": 2, "rolled_back_from": 3}
    for tensor in load_checkpoint(Path(config.out)).weights.values():
        assert tensor.isfinite().all()
    assert "the gradient is not finite at step 3" in capsys.readouterr().err


def test_after_going_back_the_samples_that_led_astray_are_not_seen_again(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two more batches were taken than steps remained: sample 3 of the stream was spoiled, 2 was undone."""
    spoil(monkeypatch, lambda call: call == 3)
    train(config)
    assert load_checkpoint(Path(config.out)).progress["sampler"]["position"] == (6 + 2) * config.batch_size


def test_a_run_that_went_back_resumes_with_the_losses_of_one_that_was_never_stopped(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, lambda call: call == 3)
    train(config)
    monkeypatch.undo()
    stopped = dataclasses.replace(config, out=str(tmp_path / "stopped"))
    spoil(monkeypatch, lambda call: call == 3, stop_at_call=7)  # at step 5, behind the checkpoint of step 4
    with pytest.raises(KeyboardInterrupt):
        train(stopped)
    monkeypatch.undo()
    train(stopped)
    assert without_times(read_log(stopped)) == without_times(read_log(config))


def test_a_run_that_always_goes_astray_ends(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, lambda call: call >= 2)
    with pytest.raises(FloatingPointError, match="not finite at step 2"):
        train(dataclasses.replace(config, roll_back=RollBackConfig(most=4)))
    assert read_log(config)[-1] == {"step": 2, "rolled_back_from": 2}


def test_without_a_checkpoint_there_is_nothing_to_go_back_to(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, lambda call: call == 1)
    with pytest.raises(FloatingPointError, match="not finite at step 1"):
        train(config)


def test_a_leap_of_the_loss_is_told_by_the_median_before_it() -> None:
    guard = SpikeGuard(RollBackConfig(spike=3.0))
    for number in range(WINDOW - 1):
        guard.add(1.0 + number % 2)
    assert guard.limit == float("inf")
    guard.add(100.0)  # one odd loss moves a median little
    assert guard.limit <= 6.0
    restored = SpikeGuard(RollBackConfig(spike=3.0))
    restored.load_state_dict(json.loads(json.dumps(guard.state_dict())))
    assert restored.limit == guard.limit


def test_a_leap_of_the_loss_sends_the_run_back(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = iter([float("inf"), float("inf"), float("inf"), 0.1] + [float("inf")] * 10)
    monkeypatch.setattr(SpikeGuard, "limit", property(lambda self: next(limits)))
    train(dataclasses.replace(config, roll_back=RollBackConfig(spike=2.0)))
    assert {"step": 2, "rolled_back_from": 3} in read_log(config)
    assert read_log(config)[-1]["step"] == 6


@pytest.mark.parametrize("options", [RollBackConfig(most=-1), RollBackConfig(spike=0.5), RollBackConfig(spike=-1.0)])
def test_numbers_that_make_no_sense_are_refused(config: TrainConfig, options: RollBackConfig) -> None:
    with pytest.raises(ConfigError, match=r"roll_back\.most is a count and roll_back\.spike 0 or above 1"):
        train(dataclasses.replace(config, roll_back=options))


# --------------------------------------------------------------------------- frozen parts


def test_frozen_parts_stay_as_they_are_byte_by_byte(config: TrainConfig, tmp_path: Path) -> None:
    train(config)
    frozen = ("backbone.vision", "backbone.connectors.0", "backbone.text_embedding")
    again = dataclasses.replace(config, init=config.out, freeze=list(frozen), out=str(tmp_path / "again"))
    train(again)
    before, after = load_checkpoint(Path(config.out)).weights, load_checkpoint(Path(again.out)).weights
    for name, tensor in before.items():
        is_frozen = name.startswith(tuple(f"{part}." for part in frozen))
        assert torch.equal(after[name], tensor) == is_frozen, name


def test_a_stopped_run_with_frozen_parts_goes_on(config: TrainConfig, tmp_path: Path) -> None:
    frozen = dataclasses.replace(config, freeze=["backbone.vision"])
    train(frozen)
    stopped = dataclasses.replace(frozen, out=str(tmp_path / "stopped"))
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, lambda call: False, stop_at_call=3)
        with pytest.raises(KeyboardInterrupt):
            train(stopped)
    train(stopped)
    assert without_times(read_log(stopped)) == without_times(read_log(frozen))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["backbone.visions"], r"no part 'backbone.visions' to freeze; its parts are slots, backbone.text_position"),
        (["backbone", "slots", "action_embedding", "logits"], "leaves nothing to train"),
    ],
)
def test_parts_that_cannot_be_frozen_are_refused(config: TrainConfig, parts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(dataclasses.replace(config, freeze=parts))


# --------------------------------------------------------------------------- figures


def test_the_log_tells_gradients_and_how_long_the_run_waited_for_data(config: TrainConfig) -> None:
    train(config)
    for line in read_log(config):
        assert line["gradient_norm"] > 0
        assert 0 < line["data_wait_share"] < 1
        assert line["samples_per_s"] > 0


def test_tensorboard_gets_the_figures_of_the_log(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, str, float]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            assert (folder, purge_step) == (f"{config.out}/tensorboard", 1)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            told.append((step, name, value))

        def flush(self) -> None:
            pass

    fake = types.ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Writer  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    train(dataclasses.replace(config, tensorboard=True))
    expected = [(int(line["step"]), name, line[name]) for line in read_log(config) for name in line if name != "step"]
    assert told == expected


def test_tensorboard_that_is_not_installed_is_told_with_how_to_install_it(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install 'vla-stack\[tracking\]'"):
        train(dataclasses.replace(config, tensorboard=True))


def test_a_run_of_before_an_option_was_there_goes_on_with_its_default(config: TrainConfig) -> None:
    train(dataclasses.replace(config, steps=6))
    manifest = Path(config.out) / "checkpoint.json"
    held = json.loads(manifest.read_text())
    for option in ("web_share", "freeze", "roll_back"):
        del held["config"][option]
    manifest.write_text(json.dumps(held))
    train(config)
    with pytest.raises(ConfigError, match=r"another configuration \(freeze\)"):
        train(dataclasses.replace(config, freeze=["logits"]))


class FakeRun:
    """What a run of Weights & Biases is told."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given, self.told, self.step_metrics = given, list[dict[str, float]](), list[str]()
        self.is_finished = False

    def define_metric(self, name: str, step_metric: str) -> None:
        self.step_metrics.append(f"{name} by {step_metric}")

    def log(self, figures: dict[str, float]) -> None:
        self.told.append(figures)

    def finish(self) -> None:
        self.is_finished = True


def test_weights_and_biases_gets_the_figures_of_the_log_and_one_run_goes_on(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[FakeRun] = []

    def init(**given: Any) -> FakeRun:
        runs.append(FakeRun(given))
        return runs[-1]

    fake = types.ModuleType("wandb")
    fake.init = init  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    spoil(monkeypatch, lambda call: False, stop_at_call=3)
    with pytest.raises(KeyboardInterrupt):
        train(dataclasses.replace(config, wandb=True))
    monkeypatch.setattr(train_module.Trainer, "train_step", TRAIN_STEP)
    train(dataclasses.replace(config, wandb=True))
    first, second = runs
    assert second.told == read_log(config)[2:]
    assert second.is_finished
    assert second.step_metrics == ["* by step"]
    assert (second.given["dir"], second.given["resume"]) == (config.out, "allow")
    assert second.given["id"] == first.given["id"]
    assert second.given["config"]["batch_size"] == 8


def test_weights_and_biases_that_are_not_installed_are_told_with_how_to_install_them(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"wandb=true needs .* pip install 'vla-stack\[wandb\]'"):
        train(dataclasses.replace(config, wandb=True))


def test_operations_are_told_and_their_share_of_a_peak_that_is_given(config: TrainConfig) -> None:
    train(dataclasses.replace(config, peak_operations_s=1e15))
    assert read_log(config)[-1]["operations_per_s"] > 1e6
    assert 0 <= read_log(config)[-1]["utilisation"] < 1


def test_recomputing_and_parts_may_change_when_a_run_goes_on(config: TrainConfig, tmp_path: Path) -> None:
    train(config)
    other = dataclasses.replace(config, out=str(tmp_path / "other"), activation_checkpointing=True)
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, lambda call: False, stop_at_call=3)
        with pytest.raises(KeyboardInterrupt):
            train(dataclasses.replace(other, activation_checkpointing=False))
    train(other)
    assert without_times(read_log(other)) == without_times(read_log(config))
