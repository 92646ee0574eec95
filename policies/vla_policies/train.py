"""`vla train`: a policy from demonstrations.

    stores ─► frames in memory ─► batches ─┬► trainer ─► checkpoint every so often ─► OUT/
    web ────► samples in memory ─► batches ┘    │  └──► OUT/log.jsonl, a line every so often
    stores ◄── `vla collect policy=OUT` ◄───────┘ at the steps of `dagger_steps`

Without stores, the experiment says how to collect some. In a round of DAgger (arXiv:1011.0686) the policy as it stands
is rolled out, the expert labels the states it came to, and they join the data.

Stop it at any moment and give the same command again: it goes on from its last checkpoint, and its losses are those of
a run that was never stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from vla import cli, commands
from vla.errors import ConfigError, StoreError, unknown
from vla.files import only_writer, write_atomically
from vla.interfaces import ActionTokenizer
from vla.model.compact import CompactConfig
from vla.model.lora import AdapterConfig, Share, adapt, add_prompt
from vla.normalization import Statistics
from vla.tokens.files import TOKENIZERS, fit_tokenizer, load_tokenizer
from vla.tokens.ordered import OrderedTokenizer
from vla.tokens.text import TextTokenizer
from vla.tokens.words import WordTokenizer
from vla_datasets.store import EpisodeStore
from vla_datasets.windows import Frames, ShuffledSampler, load_frames
from vla_policies.backbone_choice import choose_backbone
from vla_policies.batches import Batch, FrameBatches
from vla_policies.checkpoint import (
    MANIFEST,
    Checkpoint,
    for_running,
    load_checkpoint,
    make_model,
    published_weights,
    state_normalizer,
)
from vla_policies.checkpoint_writer import CheckpointWriter
from vla_policies.chunk_batches import ChunkBatches, action_normalizer
from vla_policies.corrections import drawn_rows
from vla_policies.cotraining import Cotraining, fit_words, num_web, read_web, tell
from vla_policies.frame_questions import FrameQuestions, sentences_of
from vla_policies.freezing import freeze
from vla_policies.gate import Gate
from vla_policies.kept_memory import keep_freed_memory
from vla_policies.loading import checkpoint_folder
from vla_policies.new_embodiment import for_new_embodiment
from vla_policies.pace import Pace
from vla_policies.precision import peak_of, require_precision
from vla_policies.processes import Processes, joined
from vla_policies.remaining import Remaining
from vla_policies.roll_back import SpikeGuard
from vla_policies.seen_scenes import SeenScenes
from vla_policies.step_parts import require_parts
from vla_policies.train_config import TrainConfig as TrainConfig
from vla_policies.train_config import Words as Words
from vla_policies.trainer import StepMetrics, Trainer
from vla_policies.training_limits import require_sensible
from vla_policies.training_log import LOG as LOG
from vla_policies.training_log import TrainingLog, figures, progress_bar
from vla_policies.voice import Voice
from vla_policies.web_batches import WebBatch, WebBatches
from vla_policies.web_rows import WebRows, seen_by
from vla_policies.weights_and_biases import WeightsAndBiases

SPEED = ("parallel", "accumulate", "activation_checkpointing", "compile", "peak_operations_s", "wandb")
CHANGEABLE = ("out", "threads", "log_every", "checkpoint_every", "keep_every", "tensorboard", *SPEED)
"""What may differ when a run goes on: none of it changes what is learned, or no more than by rounding."""
SEEDS_PER_RUN, SEEDS_PER_ROUND, SEEDS_PER_CALL = 100_000, 10_000, 2_000
MAX_WORD_TOKENS = 1024
"""Of fitted merges; few sentences run out of merges before."""
INTERRUPTED = 130  # the exit status of a command that Ctrl-C ended


def main(arguments: Sequence[str]) -> int:
    """The command `vla train`."""
    return cli.run("train", TrainConfig, train, arguments)


def train(config: TrainConfig) -> None:
    """Train until `config.steps`, from the start, from `config.init` or from where a run in `config.out` stopped.

    Raises:
        StoreError: if a store is absent, empty or altered.
        EmbodimentMismatch: if stores, or a store and a checkpoint, are for different robots.
        ConfigError: if `config.out` holds a run with another configuration, there is neither data nor a way to it, or a
            number cannot be meant.
    """
    if not config.data and not config.collect:
        raise ConfigError("there is no data=STORE to train on, and no `collect` to say how to make one")
    if config.new_embodiment and not config.init:
        raise ConfigError("new_embodiment=true carries a checkpoint over to the robot of the data: say which, init=")
    require_sensible(cli.resolved(config))
    if config.threads:
        torch.set_num_threads(config.threads)
    out = Path(config.out)
    with joined(config.parallel, config.device) as (processes, device), contextlib.ExitStack() as claim:
        if device.type == "cpu":
            keep_freed_memory()
        is_first = processes.is_first
        if is_first and (out.exists() or not config.data):
            claim.enter_context(only_writer(out))
        resumed = _resumable(config)
        processes.require_same("the step to go on from", resumed.step if resumed is not None else 0)
        start = resumed or (load_checkpoint(checkpoint_folder(config.init)) if config.init else None)
        run = _Run(config, start if resumed is not None else _merged(start), processes, device)
        if resumed is not None:
            run.resume(resumed)
        if is_first and not out.exists():
            claim.enter_context(only_writer(out))
        with contextlib.closing(CheckpointWriter()) as writer:
            run.train(writer)


def _tell(share: Share) -> None:
    """Say how many weights train, unless all do."""
    if share.trained < share.total:
        Console(stderr=True, soft_wrap=True).print(str(share))


def _merged(start: Checkpoint | None) -> Checkpoint | None:
    """The checkpoint to begin with, its adapters no longer apart from its weights."""
    if start is None or start.adapter.rank == 0:
        return start
    merged = AdapterConfig(prompt_tokens=start.adapter.prompt_tokens)
    return dataclasses.replace(start, weights=start.build_model().state_dict(), adapter=merged)


class _Run:
    """One training run: what is read, what is learned, and where it stands."""

    def __init__(
        self, config: TrainConfig, start: Checkpoint | None, processes: Processes, device: torch.device
    ) -> None:
        torch.manual_seed(config.seed)
        self._config, self._out = config, Path(config.out)
        self._processes, self._device = processes, device
        require_precision(config.precision, self._device)
        require_parts("robot samples", config.batch_size, config.accumulate, processes.among)
        self._adapter = config.adapter.behind(start.adapter if start is not None else None)
        choice = choose_backbone(config.backbone, config.pretrained, start)
        self._data = _Data(config, None if config.new_embodiment else start, processes)
        frames = self._data.frames(done_steps=0)
        if config.new_embodiment and start is not None and start.embodiment != frames.embodiment:
            start = for_new_embodiment(start, frames)
        self._embodiment = frames.embodiment
        self._statistics, self._action_statistics = _statistics(config, start, frames)
        self._action_tokenizer = start.action_tokenizer if start else _action_tokenizer(config, frames)
        num_asked = num_web(config.batch_size, config.web_share) if config.web else 0
        web = read_web(config.web, seen_by(choice.config, self._embodiment.cameras[0])) if config.web else None
        self._text_tokenizer = choice.words or _text_tokenizer(config, frames, web)
        self._backbone = choice.with_voice(num_asked > 0 or bool(config.ask)).with_actions(
            self._action_tokenizer.vocabulary_size
        )
        if num_asked:
            require_parts("web samples", num_asked, config.accumulate, processes.among)
        self._cotraining = self._with_web(web, num_asked) if web is not None and num_asked else None
        self._seen = start.seen if start else SeenScenes()
        self._use(frames)
        model = make_model(
            self._embodiment, self._action_tokenizer, self._text_tokenizer, self._backbone, config.head, config.expert
        )
        choice.load_weights(model)
        if start is not None and start.adapter.rank == 0:
            add_prompt(model, start.adapter.prompt_tokens)
            model.load_state_dict(dict(start.weights))
        adapt(model, self._adapter, published_weights(self._backbone))
        if start is not None and start.adapter.rank:
            model.load_state_dict(dict(start.weights))
        freeze(model, config.freeze)
        _tell(Share.of(model))
        model.to(self._device)
        # The neighbours of an id are its neighbours in meaning only where ids are in order.
        spread = config.optimizer.label_spread if self._action_tokenizer.is_ordered else 0.0
        self._trainer = Trainer(
            model,
            dataclasses.replace(config.optimizer, label_spread=spread),
            config.steps,
            accumulate=config.accumulate,
            precision=config.precision,
            processes=processes,
            sample=self._sample(),
            recomputes=config.activation_checkpointing,
            compiles=config.compile,
        )
        self._guard = SpikeGuard(config.roll_back)

    def _sample(self) -> tuple[Batch | None, WebBatch | None]:
        """One sample of each kind that steps have."""
        web = None if self._cotraining is None else self._cotraining.batches
        return (
            self._batches.batch(self._train_rows[:1], None) if self._trains_robot else None,
            None if web is None else web.batch(web.rows(0, 1), None),
        )

    def resume(self, checkpoint: Checkpoint) -> None:
        self._trainer.load_state_dict(checkpoint.training, checkpoint.weights, checkpoint.step)
        if self._data.num_rounds(checkpoint.step):
            self._use(self._data.frames(checkpoint.step))
        self._sampler.load_state_dict(checkpoint.progress["sampler"])
        if self._cotraining is not None:
            self._cotraining.load_state_dict(checkpoint.progress["web"])
        if "guard" in checkpoint.progress:
            self._guard.load_state_dict(checkpoint.progress["guard"])

    def train(self, writer: CheckpointWriter) -> None:
        config, is_first = self._config, self._processes.is_first
        self._writer = writer
        log = self._open_log() if is_first else None
        gate = Gate(self._out, config.gate, config.gate_samples) if config.gate and is_first else None
        if self._trainer.step == 0:
            self._ask(gate, "before")
        for end in [*_rounds(config, self._trainer.step), config.steps]:
            self._train_until(end, log)
            if end < config.steps:
                self._use(self._data.frames(end))
                self._save(self._out, self._checkpoint())
        self._ask(gate, "after")
        if log is not None:
            log.close()

    def _open_log(self) -> TrainingLog:
        config = self._config
        tracked = WeightsAndBiases(self._out, cli.resolved(config)) if config.wandb else None
        return TrainingLog(self._out, self._trainer.step, tensorboard=config.tensorboard, tracked=tracked)

    def _ask(self, gate: Gate | None, when: str) -> None:
        """What the policy knows of language and vision; the first process asks, and the others wait."""
        if self._config.gate:
            checkpoint = self._checkpoint()
            if gate is not None:
                gate.measure(when, checkpoint)
            self._processes.wait()

    def _save(self, folder: Path, checkpoint: Checkpoint) -> None:
        if self._processes.is_first:
            self._writer.save(folder, checkpoint)

    def _train_until(self, end: int, log: TrainingLog | None) -> None:
        config, pace = self._config, self._pace()
        remaining = Remaining(config.steps, {"looking": config.log_every, "saving": config.checkpoint_every})
        with progress_bar(config.steps, self._trainer.step) as show:
            while self._trainer.step < end:
                with remaining.step():
                    metrics = self._step(pace, log)
                if metrics is None:
                    continue
                step = self._trainer.step
                show(step, metrics, remaining.seconds(step))
                if step % config.log_every == 0 or step == end:
                    with remaining.pause("looking"):
                        self._write(log, step, figures(metrics) | pace.figures() | self._validation())
                if step % config.checkpoint_every == 0 or step == end:
                    with remaining.pause("saving"):
                        self._save(self._out, self._checkpoint())
                if config.keep_every and step % config.keep_every == 0:
                    self._save(self._out / "kept" / f"{step:08d}", for_running(self._checkpoint()))
        self._wait_for_checkpoint()

    def _write(self, log: TrainingLog | None, step: int, told: Mapping[str, float]) -> None:
        if log is not None:
            log.write(step, told)

    def _wait_for_checkpoint(self) -> None:
        """Return when the last one is on disk, in every process."""
        self._writer.wait()
        self._processes.wait()

    def _step(self, pace: Pace, log: TrainingLog | None) -> StepMetrics | None:
        """One step; None if it was not taken, and the run went back to its last checkpoint."""
        with pace.waiting():
            batches = self._next_batches()
        self._trainer.loss_limit = self._guard.limit
        try:
            metrics = self._trainer.train_step(*batches)
        except FloatingPointError as error:
            self._roll_back(error, log)
            return None
        self._guard.add(metrics.loss)
        pace.add_step()
        return metrics

    def _roll_back(self, error: FloatingPointError, log: TrainingLog | None) -> None:
        """Go on from the last checkpoint, with the samples behind those that led astray."""
        left_at = self._trainer.step
        self._wait_for_checkpoint()
        if not (self._out / MANIFEST).exists() or not self._guard.may_go_back():
            raise error
        checkpoint = load_checkpoint(self._out, with_training=True)
        self._trainer.load_state_dict(checkpoint.training, checkpoint.weights, checkpoint.step)
        if log is not None:
            log.rewind(checkpoint.step)
            log.write(checkpoint.step, {"rolled_back_from": float(left_at)})
        Console(stderr=True, soft_wrap=True).print(f"{error}: back to the checkpoint of step {checkpoint.step}")

    def _next_batches(self) -> tuple[Batch | None, WebBatch | None]:
        share, web = self._processes.share, None
        if self._cotraining is not None:
            web = self._cotraining.next_batch(share(self._cotraining.batch_size))
        if not self._trains_robot:
            return None, web
        rows = self._train_rows[next(self._sampler)]
        return self._batches.batch(rows, self._generator(), share(len(rows))), web

    @property
    def _trains_robot(self) -> bool:
        return self._cotraining is None or self._config.web_share < 1

    @property
    def _samples_a_step(self) -> int:
        web = 0 if self._cotraining is None else self._cotraining.batch_size
        return web + self._config.batch_size * self._trains_robot

    def _pace(self) -> Pace:
        config, processes = self._config, self._processes
        web = 0 if self._cotraining is None else self._cotraining.batch_size
        operations = self._trainer.cost.operations(config.batch_size, web) / processes.among
        peak = peak_of(config.precision, self._device, config.peak_operations_s)
        return Pace(self._samples_a_step, operations, peak)

    def _with_web(self, rows: WebRows, batch_size: int) -> Cotraining:
        config = self._config
        voice = Voice.of(self._backbone, self._action_tokenizer.vocabulary_size)
        batches = WebBatches(
            rows,
            self._text_tokenizer,
            voice,
            device=self._device,
            seed=config.seed,
            weights=config.web_weights,
            validation_share=config.validation_share,
            shift_pixels=config.shift_pixels,
        )
        tell(batches.too_long, f"do not fit into {' or '.join(voice.options)}")
        return Cotraining(batches, batch_size, config.seed)

    def _use(self, frames: Frames) -> None:
        """Train on these frames from now on."""
        config = self._config
        self._seen |= SeenScenes.of((row.task, row.seed) for row in frames.episodes)
        train_rows, self._validation_rows = _split(frames.episode_index, config.validation_share, config.seed)
        if len(train_rows) < config.batch_size:
            raise StoreError(f"a batch of {config.batch_size} needs as many frames, the stores have {len(train_rows)}")
        train_rows = drawn_rows(train_rows, frames.is_correction, config.correction_weight, config.seed)
        self._train_rows = train_rows
        self._sampler = ShuffledSampler(len(train_rows), config.batch_size, config.seed)
        self._batches = FrameBatches(
            frames,
            self._action_tokenizer,
            self._text_tokenizer,
            self._backbone.text_tokens,
            state_normalizer(self._statistics, self._embodiment),
            self._device,
            shift_pixels=config.shift_pixels,
            committed_share=config.committed_share,
            chunks=self._chunk_batches(frames),
            questions=self._questions(frames),
            history=self._backbone.history,
            trims_text=not config.compile,
        )

    def _questions(self, frames: Frames) -> FrameQuestions | None:
        config = self._config
        if not config.ask:
            return None
        voice = Voice.of(self._backbone, self._action_tokenizer.vocabulary_size)
        return FrameQuestions(frames, config.ask, config.ask_share, self._text_tokenizer, voice, self._device)

    def _chunk_batches(self, frames: Frames) -> ChunkBatches | None:
        if self._action_statistics is None:
            return None
        return ChunkBatches(frames, action_normalizer(self._action_statistics, self._embodiment), self._device)

    def _generator(self) -> torch.Generator:
        """Randomness of one step, which depends on the seed and the step alone."""
        return torch.Generator().manual_seed(self._config.seed * 1_000_003 + self._trainer.step)

    def _validation(self) -> dict[str, float]:
        found: dict[str, float] = {}
        if len(self._validation_rows) and self._trains_robot:
            found |= self._robot_validation(self._validation_rows)
        web = None if self._cotraining is None else self._cotraining.validation_batch(self._processes)
        if web is not None:
            told = self._trainer.validate(None, web).web
            found |= {f"validation_{name}": value for name, value in told.items()}
        return found

    def _robot_validation(self, rows: np.ndarray) -> dict[str, float]:
        """In one batch if the model is small; no more samples at once than in training if it is not."""
        most = len(rows) if isinstance(self._backbone, CompactConfig) else self._config.batch_size
        parts = [rows[start : start + most] for start in range(0, len(rows), most)]
        share = self._processes.share_if_enough
        told = [self._trainer.validate(self._batches.batch(part, None, share(len(part)))) for part in parts]
        sizes = [len(part) for part in parts]
        found = {"validation_loss": float(np.average([metrics.loss for metrics in told], weights=sizes))}
        if self._config.head.has_tokens:
            shares = [metrics.accuracy for metrics in told]
            found["validation_accuracy"] = float(np.average(shares, weights=sizes))
        return found

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            embodiment=self._embodiment,
            statistics=self._statistics,
            action_tokenizer=self._action_tokenizer,
            text_tokenizer=self._text_tokenizer,
            backbone=self._backbone,
            head=self._config.head,
            config=cli.resolved(self._config),
            step=self._trainer.step,
            seen=self._seen,
            adapter=self._adapter,
            weights=self._trainer.average_state(),
            training=self._trainer.state_dict(),
            progress={"sampler": self._sampler.state_dict(), "guard": self._guard.state_dict()}
            | ({} if self._cotraining is None else {"web": self._cotraining.state_dict()}),
            expert=self._config.expert,
            action_statistics=self._action_statistics,
        )


class _Data:
    """The stores of a run: given or collected, and one more for each round of DAgger."""

    def __init__(self, config: TrainConfig, start: Checkpoint | None, processes: Processes) -> None:
        self._config, self._start, self._processes = config, start, processes
        self._folder = Path(config.out) / "data"

    def num_rounds(self, done_steps: int) -> int:
        """Rounds of DAgger that come after this many steps or fewer."""
        return sum(step <= done_steps for step in self._config.dagger_steps)

    def frames(self, done_steps: int) -> Frames:
        """All frames to train on after this many steps; what is not there yet is collected."""
        paths = self._config.data or [self._collected("demonstrations", self._config.collect, 0)]
        for number in range(1, self.num_rounds(done_steps) + 1):
            calls = [f"{call} policy={self._config.out}" for call in self._config.dagger]
            paths = [*paths, self._collected(f"dagger-{number}", calls, number)]
        embodiment = self._start.embodiment if self._start else None
        stores = [EpisodeStore.open(path, embodiment) for path in paths]
        return load_frames(
            stores, self._config.horizon, keep=lambda row: row.success or not self._config.only_successes
        )

    def _collected(self, name: str, calls: Sequence[str], round_number: int) -> str:
        path = self._folder / name
        is_whole = path / "collected"
        if self._processes.is_first and not is_whole.exists():
            # Scenes of different runs, rounds and calls are different, and evaluation begins at a million.
            seed = self._config.seed * SEEDS_PER_RUN + round_number * SEEDS_PER_ROUND
            for number, call in enumerate(calls):
                own = [f"seed={seed + number * SEEDS_PER_CALL}", f"horizon={self._config.horizon}", f"out={path}"]
                _run_command("collect", [*call.split(), *own])
            write_atomically(is_whole, "")
        self._processes.wait()
        return str(path)


def _statistics(config: TrainConfig, start: Checkpoint | None, frames: Frames) -> tuple[Statistics, Statistics | None]:
    """Of proprioception, and of actions where the head says them as numbers: those of the run's first frames.

    Raises:
        ConfigError: if the run begins with a checkpoint that has another head.
    """
    if start is not None:
        if start.head is not config.head and (start.head.is_continuous or config.head.is_continuous):
            raise ConfigError(
                f"the checkpoint to begin with has head={start.head.value}, whose weights are not those of "
                f"head={config.head.value}: give the same head, or begin without a checkpoint"
            )
        return start.statistics, start.action_statistics
    found = {name: statistics.without_values() for name, statistics in frames.statistics().items()}
    return found["proprioception"], found["actions"] if config.head.is_continuous else None


def _text_tokenizer(config: TrainConfig, frames: Frames, web: WebRows | None) -> WordTokenizer:
    if config.words is Words.SHIPPED:
        if web is not None or config.ask:
            brings = "web=" if web is not None else "ask="
            raise ConfigError(
                f"{brings} brings words of its own, that the shipped tokens spell byte by byte: words=fitted"
            )
        return TextTokenizer.shipped()
    if web is not None or config.ask:
        return fit_words([*frames.instructions, *sentences_of(frames, config.ask)], web, MAX_WORD_TOKENS)
    return TextTokenizer.train(frames.instructions, MAX_WORD_TOKENS)


def _action_tokenizer(config: TrainConfig, frames: Frames) -> ActionTokenizer:
    """The tokenizer of this name fitted to the frames, or the one in this file."""
    tokenizer = _fitted_or_read(config, frames)
    # A model learns every token of a chunk, coarse to fine; how many of them a decoder then takes is its own choice.
    return dataclasses.replace(tokenizer, tolerance=0.0) if isinstance(tokenizer, OrderedTokenizer) else tokenizer


def _fitted_or_read(config: TrainConfig, frames: Frames) -> ActionTokenizer:
    if config.tokenizer in TOKENIZERS:
        return fit_tokenizer(config.tokenizer, frames.chunks, frames.embodiment, config.vocabulary)
    if not config.tokenizer.endswith(".json"):
        raise unknown("tokenizer", config.tokenizer, [*TOKENIZERS, "FILE.json"])
    tokenizer = load_tokenizer(Path(config.tokenizer), horizon=config.horizon)
    if tokenizer.action_dim != frames.embodiment.action_dim:
        raise ConfigError(
            f"{config.tokenizer} is for actions of {tokenizer.action_dim} fields, "
            f"{frames.embodiment.name} has {frames.embodiment.action_dim}"
        )
    return tokenizer


def _rounds(config: TrainConfig, done: int) -> list[int]:
    """The rounds of DAgger that are to come: those after `done` steps and before the run's last."""
    beyond = [step for step in config.dagger_steps if step >= config.steps]
    if beyond:
        Console(stderr=True, soft_wrap=True).print(
            f"the run ends at steps={config.steps}: no round of DAgger at {', '.join(map(str, beyond))}"
        )
    return [step for step in config.dagger_steps if done < step < config.steps]


def _run_command(name: str, arguments: Sequence[str]) -> None:
    status = commands.main([name, *arguments])
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    if status:
        raise ConfigError(f"`vla {name} {' '.join(arguments)}` failed with exit status {status}")


def _split(episode_index: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on, and at most 1,024 rows of other episodes to validate on."""
    generator = np.random.default_rng([seed, 1])
    episodes = np.unique(episode_index)
    held_out = generator.permutation(episodes)[: round(share * len(episodes))]
    is_held_out = np.isin(episode_index, held_out)
    validation = np.flatnonzero(is_held_out)
    return np.flatnonzero(~is_held_out), generator.permutation(validation)[:1024]


def _filled(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, and the defaults of what is not, group by group."""
    groups = {
        key: _filled(default, given[key])
        for key, default in defaults.items()
        if isinstance(default, Mapping) and isinstance(given.get(key), Mapping)
    }
    return {**defaults, **given, **groups}


def _resumable(config: TrainConfig) -> Checkpoint | None:
    """The checkpoint that a stopped run left in `config.out`, if there is one.

    Raises:
        ConfigError: if that run had another configuration.
    """
    out = Path(config.out)
    if not (out / MANIFEST).exists():
        return None
    checkpoint = load_checkpoint(out, with_training=True)
    ours, defaults = (json.loads(json.dumps(cli.resolved(known))) for known in (config, TrainConfig()))
    theirs = _filled(defaults, checkpoint.config)  # a run of before a key was there had what is now its default
    differing = [key for key in ours if ours[key] != theirs[key] and key not in CHANGEABLE]
    if differing:
        raise ConfigError(
            f"{out} holds a run with another configuration ({', '.join(differing)}): give it as it was, or another out"
        )
    return checkpoint
