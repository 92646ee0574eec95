"""`vla train` on a store of noise: what it writes, how it goes on, what it refuses."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import pytest
import torch

import vla_policies.train as train_module
from tests.small_runs import small_run
from vla.embodiment import Embodiment
from vla.errors import ActionError, ConfigError, EmbodimentMismatch, StoreError
from vla.files import only_writer
from vla.model.vla_model import TOKEN_HEADS, Head
from vla.testing import SMALL_EMBODIMENT, check_policy, make_episode
from vla.tokens.files import TOKENIZERS, fit_tokenizer, save_tokenizer
from vla_datasets.store import EpisodeStore
from vla_datasets.windows import load_frames
from vla_policies.batches import Batch
from vla_policies.checkpoint import load_checkpoint
from vla_policies.token_policy import TokenPolicy
from vla_policies.train import LOG, TrainConfig, train
from vla_policies.trained_policy import trained_policy
from vla_policies.training_log import TIMES
from vla_policies.web_batches import WebBatch

Logged = dict[str, float]


def _fill(path: Path, embodiment: Embodiment = SMALL_EMBODIMENT, first_seed: int = 0) -> None:
    store = EpisodeStore.open_or_create(path, embodiment)
    for seed in range(first_seed, first_seed + 6):
        if not store.contains("reach", seed, "scripted"):
            store.append(make_episode(embodiment, steps=10, seed=seed, lookahead=2))


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    _fill(tmp_path / "store")
    return small_run(tmp_path)


def _no_number(name: str) -> float:
    raise AssertionError(f"{name} is no JSON number")


def _log(config: TrainConfig) -> list[Logged]:
    lines = [json.loads(line, parse_constant=_no_number) for line in (Path(config.out) / LOG).read_text().splitlines()]
    lines = [json.loads(line, parse_constant=_no_number) for line in (Path(config.out) / LOG).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def test_training_leaves_a_policy_and_a_log(config: TrainConfig) -> None:
    train(config)
    assert [line["step"] for line in _log(config)] == [1, 2, 3, 4, 5, 6]
    policy = TokenPolicy.from_checkpoint(Path(config.out), device="cpu")
    assert (policy.embodiment, policy.horizon) == (SMALL_EMBODIMENT, 2)


@pytest.mark.parametrize(
    ("head", "tokenizer"),
    [
        *itertools.product(TOKEN_HEADS, TOKENIZERS),
        (Head.REGRESSION, "bins"),
        (Head.FLOW, "bins"),
        (Head.INSULATED, "bins"),
        (Head.INSULATED, "fast"),
    ],
)
def test_a_policy_of_every_kind_of_action_tokens_keeps_the_contract(
    config: TrainConfig, head: Head, tokenizer: str
) -> None:
    some = dataclasses.replace(config, tokenizer=tokenizer, vocabulary=512, head=head, steps=2)
    if tokenizer == "fast" and head is Head.SLOTS:
        with pytest.raises(ConfigError, match="use head=autoregressive"):
            train(some)
        return
    train(some)
    check_policy(lambda: trained_policy(load_checkpoint(Path(config.out)), device="cpu"))


def test_a_run_does_not_begin_with_the_weights_of_another_head(config: TrainConfig, tmp_path: Path) -> None:
    train(config)
    other = dataclasses.replace(config, init=config.out, out=str(tmp_path / "other"), head=Head.FLOW)
    with pytest.raises(ConfigError, match="begin with has head=slots, whose weights are not those of head=flow"):
        train(other)


def test_a_tokenizer_may_come_from_its_file(config: TrainConfig, tmp_path: Path) -> None:
    frames = load_frames([EpisodeStore.open(config.data[0])], 2, progress=False)
    file = tmp_path / "bins.json"
    save_tokenizer(file, fit_tokenizer("bins", frames.chunks, SMALL_EMBODIMENT, 17))
    train(dataclasses.replace(config, tokenizer=str(file)))
    assert load_checkpoint(Path(config.out)).action_tokenizer.vocabulary_size == 17


def test_a_tokenizer_of_another_horizon_is_refused_before_anything_is_written(
    config: TrainConfig, tmp_path: Path
) -> None:
    frames = load_frames([EpisodeStore.open(config.data[0])], 1, progress=False)
    file = tmp_path / "bins.json"
    save_tokenizer(file, fit_tokenizer("bins", frames.chunks, SMALL_EMBODIMENT, 17))
    with pytest.raises(ActionError, match=r"bins\.json was fitted to chunks of 1 actions, got horizon=2"):
        train(dataclasses.replace(config, tokenizer=str(file)))
    assert not Path(config.out).exists()


@pytest.mark.parametrize(
    ("stop_at", "head"),
    [(2, Head.SLOTS), (3, Head.SLOTS), (3, Head.REGRESSION), (3, Head.FLOW), (3, Head.INSULATED)],
)
def test_a_resumed_run_has_the_losses_of_one_that_was_never_stopped(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int, head: Head
) -> None:
    config = dataclasses.replace(config, head=head, committed_share=0.5)
    train(config)
    stopped = dataclasses.replace(config, out=str(tmp_path / "stopped"))
    _stop_at(stop_at, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(stopped)
    monkeypatch.undo()
    train(stopped)
    assert _log(stopped) == _log(config)
    whole, resumed = load_checkpoint(Path(config.out)), load_checkpoint(Path(stopped.out))
    for name, tensor in whole.weights.items():
        assert torch.equal(resumed.weights[name], tensor)


def test_a_resumed_run_keeps_its_round_of_dagger(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = dataclasses.replace(config, dagger_steps=[3], dagger=["episodes=1"])
    _collect_noise(monkeypatch)
    train(rounds)
    stopped = dataclasses.replace(rounds, out=str(tmp_path / "stopped"))
    _stop_at(5, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(stopped)
    monkeypatch.undo()
    train(stopped)
    assert _log(stopped) == _log(rounds)


def test_without_data_the_experiment_collects_its_own(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _collect_noise(monkeypatch)
    train(dataclasses.replace(config, data=[], collect=["tasks=[a] episodes=1", "tasks=[b]"], seed=1))
    own = ["horizon=2", f"out={config.out}/data/demonstrations"]
    assert calls == [
        ["collect", "tasks=[a]", "episodes=1", "seed=100000", *own],
        ["collect", "tasks=[b]", "seed=102000", *own],
    ]


def test_a_round_of_dagger_rolls_out_the_policy_as_it_stands(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _collect_noise(monkeypatch)
    train(dataclasses.replace(config, dagger_steps=[2, 4], dagger=["episodes=1"]))
    assert [call[2] for call in calls] == [f"policy={config.out}"] * 2
    assert [call[3] for call in calls] == ["seed=10000", "seed=20000"]


def test_a_run_ends_at_its_steps_whatever_rounds_were_to_come(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = _collect_noise(monkeypatch)
    train(dataclasses.replace(config, steps=3, dagger_steps=[2, 3, 9], dagger=["episodes=1"]))
    assert [line["step"] for line in _log(config)] == [1, 2, 3]
    assert len(calls) == 1
    assert "no round of DAgger at 3, 9" in capsys.readouterr().err


def test_a_run_that_another_process_writes_is_left_alone(config: TrainConfig) -> None:
    with only_writer(Path(config.out)), pytest.raises(ConfigError, match="another process is writing to"):
        train(config)
    assert list(Path(config.out).iterdir()) == []


def test_policies_on_the_way_are_kept_where_asked_for(config: TrainConfig) -> None:
    train(dataclasses.replace(config, keep_every=3))
    kept = sorted((Path(config.out) / "kept").iterdir())
    assert [load_checkpoint(folder).step for folder in kept] == [3, 6]


def test_a_finished_run_given_again_changes_nothing(config: TrainConfig) -> None:
    train(config)
    before = (Path(config.out) / "checkpoint.json").read_bytes()
    train(config)
    assert (Path(config.out) / "checkpoint.json").read_bytes() == before


def test_training_goes_on_from_another_checkpoint(config: TrainConfig, tmp_path: Path) -> None:
    train(config)
    more = dataclasses.replace(config, out=str(tmp_path / "more"), init=config.out, steps=1, seed=5)
    train(more)
    first = load_checkpoint(Path(config.out))
    assert load_checkpoint(Path(more.out)).action_tokenizer.to_json() == first.action_tokenizer.to_json()


def test_a_run_of_another_configuration_is_not_gone_on_with(config: TrainConfig) -> None:
    train(config)
    with pytest.raises(ConfigError, match=r"another configuration \(batch_size\)"):
        train(dataclasses.replace(config, batch_size=4))


def test_data_of_another_robot_than_the_checkpoint_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    train(config)
    faster = dataclasses.replace(SMALL_EMBODIMENT, control_hz=20.0)
    _fill(tmp_path / "faster", faster)
    other = dataclasses.replace(config, init=config.out, data=[str(tmp_path / "faster")], out=str(tmp_path / "never"))
    with pytest.raises(EmbodimentMismatch, match=r"control_hz: 10\.0 against 20\.0"):
        train(other)
    assert not (tmp_path / "never").exists()


def test_an_empty_store_is_refused_and_nothing_is_written(config: TrainConfig, tmp_path: Path) -> None:
    EpisodeStore.create(tmp_path / "empty", SMALL_EMBODIMENT)
    with pytest.raises(StoreError, match="empty"):
        train(dataclasses.replace(config, data=[str(tmp_path / "empty")], out=str(tmp_path / "never")))
    assert not (tmp_path / "never").exists()


def test_without_data_or_a_way_to_it_there_is_nothing_to_train_on(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match="no data=STORE to train on"):
        train(dataclasses.replace(config, data=[]))


def _stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the run be interrupted when it begins this step."""
    train_step = train_module.Trainer.train_step

    def interrupted(self: train_module.Trainer, batch: Batch, web: WebBatch | None) -> train_module.StepMetrics:
        if self.step == step:
            raise KeyboardInterrupt
        return train_step(self, batch, web)

    monkeypatch.setattr(train_module.Trainer, "train_step", interrupted)


def _collect_noise(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Put noise where `vla collect` would put demonstrations; the calls it got."""
    calls: list[list[str]] = []

    def collect(arguments: list[str]) -> int:
        calls.append(arguments)
        given = dict(argument.split("=", 1) for argument in arguments[1:])
        _fill(Path(given["out"]), first_seed=int(given["seed"]))
        return 0

    monkeypatch.setattr(train_module.commands, "main", collect)
    return calls
