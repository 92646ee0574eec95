"""`vla train` in two processes: the losses of one, whatever each has of the model; what is lost when one is lost.

Two workers are started once, since each imports PyTorch for seconds, and told what to do over pipes.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest
import torch

import vla_policies.train as train_module
from vla.errors import ConfigError
from vla.model.compact import CompactConfig
from vla.model.lora import AdapterConfig
from vla.model.vla_model import Head
from vla.model.vlm.vlm_config import PretrainedConfig
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore
from vla_policies.batches import Batch
from vla_policies.checkpoint import load_checkpoint
from vla_policies.precision import Precision
from vla_policies.processes import Parallel
from vla_policies.train import LOG, TrainConfig, Words, train
from vla_policies.training_log import TIMES
from vla_policies.web_batches import WebBatch

Task = Callable[[TrainConfig], None]
ROUNDING = 2e-5
"""Of losses and norms, relative: sums in another order, in float32, and what six steps make of it."""
ANSWER_WITHIN_S = 400
INTERRUPTED = ["KeyboardInterrupt: "] * 2
TRAIN_STEP = train_module.Trainer.train_step


# --------------------------------------------------------------------------- what workers do


def stop_at(step: int, config: TrainConfig) -> None:
    """Be interrupted when this step begins."""
    train_with(config, step, interrupt)


def lose_one_at(step: int, config: TrainConfig) -> None:
    """End without a word when this step begins, in the second process."""
    train_with(config, step, end_second)


def spoil(step: int, config: TrainConfig) -> None:
    """See samples that are not finite the first time that this step begins, in the second process."""
    train_with(config, step, spoil_second)


def train_traced(config: TrainConfig) -> None:
    """Let PyTorch trace and run what is compiled: what inductor makes of the same graphs takes a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
        train(config)


def train_on_noise(config: TrainConfig) -> None:
    """Find noise where `vla collect` would put demonstrations; only the first process may collect."""

    def collect(arguments: list[str]) -> int:
        assert os.environ.get("RANK", "0") == "0"
        given = dict(argument.split("=", 1) for argument in arguments[1:])
        fill(Path(given["out"]), int(given["seed"]))
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module.commands, "main", collect)
        train(config)


def train_apart(config: TrainConfig) -> None:
    """Write to another folder than the first, in the second process."""
    train(config if os.environ["RANK"] == "0" else dataclasses.replace(config, out=f"{config.out}-apart"))


def interrupt(batch: Batch) -> Batch:
    raise KeyboardInterrupt


def end_second(batch: Batch) -> Batch:
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return batch


def spoil_second(batch: Batch) -> Batch:
    return dataclasses.replace(batch, state=batch.state * torch.inf) if os.environ["RANK"] == "1" else batch


def train_with(config: TrainConfig, step: int, act: Callable[[Batch], Batch]) -> None:
    """Train, and act upon the samples of a step, once."""
    remaining = [step]

    def acting(self: train_module.Trainer, batch: Batch, web: WebBatch | None) -> train_module.StepMetrics:
        if self.step in remaining:
            remaining.clear()
            batch = act(batch)
        return TRAIN_STEP(self, batch, web)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module.Trainer, "train_step", acting)
        train(config)


def work(told: Connection) -> None:
    """Do one task after the other, and say how each ended."""
    torch.set_num_threads(1)
    while (message := told.recv()) is not None:
        task, config, environment = message
        os.environ.update(environment)
        try:
            task(config)
            told.send("done")
        except BaseException as error:
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
            told.send(f"{type(error).__name__}: {error}")


# --------------------------------------------------------------------------- telling them


class Pair:
    """Two processes that train together."""

    def __init__(self) -> None:
        self._processes: list[SpawnProcess] = []
        self._told: list[Connection] = []

    def start(self) -> None:
        self.close()
        spawn = multiprocessing.get_context("spawn")
        pipes = [spawn.Pipe() for _ in range(2)]
        self._told = [ours for ours, _ in pipes]
        self._processes = [spawn.Process(target=work, args=(theirs,), daemon=True) for _, theirs in pipes]
        for process, (_, theirs) in zip(self._processes, pipes, strict=True):
            process.start()
            theirs.close()

    def run(self, task: Task, config: TrainConfig) -> list[str]:
        """How it ended in each: done, the error's name and message, or killed."""
        if not self._processes or not all(process.is_alive() for process in self._processes):
            self.start()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for rank, told in enumerate(self._told):
            told.send((task, config, common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}))
        return [self._answer(told) for told in self._told]

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    def _answer(self, told: Connection) -> str:
        assert told.poll(ANSWER_WITHIN_S), "a process hangs"
        try:
            return str(told.recv())
        except EOFError:
            return "killed"


def fill(path: Path, first_seed: int) -> None:
    store = EpisodeStore.open_or_create(path, SMALL_EMBODIMENT)
    for seed in range(first_seed, first_seed + 6):
        store.append(make_episode(SMALL_EMBODIMENT, steps=10, seed=seed, lookahead=2))


def write_sums(path: Path) -> str:
    sums = [{"question": f"{i} plus one?", "answer": "a" * (i % 4 + 1), "licence": "CC0-1.0"} for i in range(9)]
    path.write_text("\n".join(json.dumps(line) for line in sums))
    return str(path)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    workers = Pair()
    yield workers
    workers.close()


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    fill(tmp_path / "store", 0)
    return TrainConfig(
        out=str(tmp_path / "run"),
        data=[str(tmp_path / "store")],
        steps=6,
        batch_size=7,
        horizon=2,
        vocabulary=9,
        committed_share=0.5,
        validation_share=0.2,
        precision=Precision.FP32,
        log_every=1,
        checkpoint_every=2,
        device="cpu",
        backbone=CompactConfig(width=32, layers=1, heads=2, mlp_ratio=2, channels=8),
    )


def elsewhere(config: TrainConfig, name: str, **changes: object) -> TrainConfig:
    """The same run in another folder."""
    return dataclasses.replace(config, out=str(Path(config.out).parent / name), **changes)  # pyright: ignore[reportArgumentType]


def read_log(config: TrainConfig) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (Path(config.out) / LOG).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def require_same_losses(config: TrainConfig, expected: TrainConfig) -> None:
    ours, theirs = read_log(config), read_log(expected)
    assert len(ours) == len(theirs) == config.steps
    for line, other in zip(ours, theirs, strict=True):
        assert line == pytest.approx(other, rel=ROUNDING, abs=2e-6)


def require_equal_checkpoints(config: TrainConfig, expected: TrainConfig) -> None:
    ours, theirs = (load_checkpoint(Path(one.out), with_training=True) for one in (config, expected))
    for mine, other in ((ours.weights, theirs.weights), (ours.training, theirs.training)):
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[name], other[name]) for name in mine)


# --------------------------------------------------------------------------- the losses of one process


@pytest.mark.parametrize(
    ("parallel", "head", "accumulate"),
    [(Parallel.REPLICATE, Head.SLOTS, 2), (Parallel.SHARD, Head.INSULATED, 1), (Parallel.HYBRID, Head.FLOW, 2)],
)
def test_two_processes_have_the_losses_of_one(
    pair: Pair, config: TrainConfig, parallel: Parallel, head: Head, accumulate: int
) -> None:
    config = dataclasses.replace(config, head=head)
    train(config)
    both = elsewhere(config, "both", parallel=parallel, accumulate=accumulate)
    assert pair.run(train, both) == ["done", "done"]
    require_same_losses(both, config)


@pytest.mark.slow
def test_shards_that_are_compiled_and_recomputed_have_the_losses_of_one_process(
    pair: Pair, config: TrainConfig
) -> None:
    config = dataclasses.replace(config, batch_size=8, validation_share=0.0, steps=3)
    train(config)
    both = elsewhere(config, "both", parallel=Parallel.SHARD, compile=True, activation_checkpointing=True)
    assert pair.run(train_traced, both) == ["done", "done"]
    require_same_losses(both, config)


def test_two_processes_have_the_losses_of_one_with_web_samples_too(
    pair: Pair, config: TrainConfig, tmp_path: Path
) -> None:
    config = dataclasses.replace(config, web=[write_sums(tmp_path / "sums.jsonl")], words=Words.FITTED)
    train(config)
    both = elsewhere(config, "both", parallel=Parallel.SHARD)
    assert pair.run(train, both) == ["done", "done"]
    require_same_losses(both, config)
    assert read_log(both)[0]["sums/loss"] > 0


def test_what_the_first_process_does_alone_the_other_waits_for(pair: Pair, config: TrainConfig, tmp_path: Path) -> None:
    """Demonstrations, a round of DAgger, and questions before and after."""
    sums = write_sums(tmp_path / "sums.jsonl")
    rounds = {"data": [], "collect": ["episodes=1"], "dagger_steps": [3], "dagger": ["episodes=1"]}
    config = dataclasses.replace(config, **rounds, web=[sums], words=Words.FITTED, gate=[sums])
    train_on_noise(config)
    both = elsewhere(config, "both", parallel=Parallel.SHARD)
    assert pair.run(train_on_noise, both) == ["done", "done"]
    require_same_losses(both, config)
    ours, theirs = (json.loads((Path(one.out) / "gate.json").read_text()) for one in (both, config))
    assert ours["before"] == theirs["before"]
    assert ours["after"]["step"] == theirs["after"]["step"] == 6


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rank"), [("openvla", 4)])
def test_pretrained_backbones_have_the_losses_of_one_process_in_shards(
    pair: Pair, config: TrainConfig, tmp_path: Path, name: str, rank: int
) -> None:
    pytest.importorskip("transformers")
    from vla.testing.tiny_vlms import family_of, write_tiny_vlm

    folder = write_tiny_vlm(name, tmp_path / name)
    length = 100 if name == "openvla" else 24
    config = dataclasses.replace(
        config,
        steps=2,
        pretrained=PretrainedConfig(family=family_of(name), path=str(folder), text_tokens=length),
        adapter=AdapterConfig(rank=rank),
    )
    train(config)
    both = elsewhere(config, "both", parallel=Parallel.SHARD, activation_checkpointing=True)
    assert pair.run(train, both) == ["done", "done"]
    require_same_losses(both, config)


# --------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("parallel", [Parallel.REPLICATE, Parallel.SHARD])
def test_as_many_processes_go_on_to_the_same_bits(pair: Pair, config: TrainConfig, parallel: Parallel) -> None:
    whole = dataclasses.replace(config, parallel=parallel)
    assert pair.run(train, whole) == ["done", "done"]
    stopped = elsewhere(whole, "stopped")
    assert pair.run(partial(stop_at, 3), stopped) == INTERRUPTED
    assert load_checkpoint(Path(stopped.out)).step == 2
    assert pair.run(train, stopped) == ["done", "done"]
    assert read_log(stopped) == read_log(whole)
    require_equal_checkpoints(stopped, whole)


def test_a_run_goes_on_with_another_number_of_processes(pair: Pair, config: TrainConfig) -> None:
    """Two steps in one process, two in two, two in one again."""
    train(config)
    changing = elsewhere(config, "changing", parallel=Parallel.SHARD)
    with pytest.raises(KeyboardInterrupt):
        stop_at(3, changing)
    assert pair.run(partial(stop_at, 5), changing) == INTERRUPTED
    assert load_checkpoint(Path(changing.out)).step == 4
    train(changing)
    require_same_losses(changing, config)


# --------------------------------------------------------------------------- what goes wrong


def test_a_step_that_is_not_finite_in_one_process_is_taken_in_none(pair: Pair, config: TrainConfig) -> None:
    sharded = dataclasses.replace(config, parallel=Parallel.SHARD)
    assert pair.run(partial(spoil, 3), sharded) == ["done", "done"]
    lines = read_log(sharded)
    assert [line["step"] for line in lines] == [1, 2, 2, 3, 4, 5, 6]
    assert lines[2] == {"step": 2, "rolled_back_from": 3}


def test_several_processes_that_are_not_told_what_to_do_are_refused(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="2 processes were started and parallel=none: say parallel=replicate"):
        train(config)
    with pytest.raises(ConfigError, match="device=cuda:0 is one device for 2 processes"):
        train(dataclasses.replace(config, parallel=Parallel.SHARD, device="cuda:0"))
    with pytest.raises(
        ConfigError, match=r"WORLD_SIZE=2, but RANK, LOCAL_RANK, .* are not said: start the processes by"
    ):
        train(dataclasses.replace(config, parallel=Parallel.SHARD))


def test_processes_that_see_different_checkpoints_are_refused(pair: Pair, config: TrainConfig) -> None:
    with pytest.raises(KeyboardInterrupt):
        stop_at(3, config)
    for outcome in pair.run(train_apart, dataclasses.replace(config, parallel=Parallel.SHARD)):
        assert outcome.startswith("ConfigError: the step to go on from is 0 in one process and 2 in another: data and")


def test_a_process_that_is_killed_ends_the_run_with_an_error(pair: Pair, config: TrainConfig) -> None:
    lost = dataclasses.replace(config, parallel=Parallel.SHARD)
    first, second = pair.run(partial(lose_one_at, 3), lost)
    assert first.startswith("ProcessLost: another process of this run has ended or cannot be reached")
    assert second == "killed"
    assert load_checkpoint(Path(config.out)).step == 2
    train(config)  # alone
    assert [line["step"] for line in read_log(config)] == [1, 2, 3, 4, 5, 6]
