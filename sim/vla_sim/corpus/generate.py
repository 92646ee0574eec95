"""`vla data web generate`: the procedural corpus as WebDataset shards, with a card and a sheet of examples.

    shard number ─► worker (spawned; one world, one renderer) ─► samples ─► shard-000017.tar
                                                                    └─► checks, if asked for: findings
Shards that are there already are not drawn again, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import cv2
import mujoco
import numpy as np
from omegaconf import MISSING
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import vla
from vla import cli
from vla.errors import ConfigError
from vla.files import write_atomically
from vla.interfaces import TemplateSet
from vla.progress import told
from vla_datasets.web.pictures import PictureFormat
from vla_datasets.web.samples import WebSample
from vla_datasets.web.shards import begin_shards, num_shards, write_shard, write_shards
from vla_sim.corpus.card import card
from vla_sim.corpus.checks.checker import Checker
from vla_sim.corpus.contact_sheet import contact_sheet
from vla_sim.corpus.procedural import ProceduralCorpus

CARD_FILE, SHEET_FILE = "CARD.md", "examples.png"
JPEG_QUALITY = 90


@dataclasses.dataclass
class GenerateConfig:
    """Draw image-text data: captions, questions, places, digits, refusals, with labels from the simulator's state.

    Example: vla data web generate count=3000 seed=0 out=data/web
    Example: vla data web generate kind=[point,box,refusal] count=3000 seed=0 check=true out=data/places
    """

    kind: list[str] = dataclasses.field(default_factory=list)
    """Which kinds of questions, in turn; all but those about tiles if empty."""
    count: int = 3000
    """How many samples."""
    seed: int = 0
    """Sample `i` depends on this, its kind and `i` alone."""
    out: Path = MISSING
    """The folder of shards; it is made, or completed."""
    templates: TemplateSet = TemplateSet.TRAINING
    """Which wordings of the questions."""
    samples_per_shard: int = 1000
    """How many samples a shard holds."""
    pictures: PictureFormat = PictureFormat.PNG
    """How pictures are stored; PNG loses nothing."""
    workers: int | None = None
    """Processes; one for each core if null."""
    check: bool = False
    """Whether every answer is worked out again from the simulator's state and the pixels."""


@dataclasses.dataclass(frozen=True)
class Done:
    """What came of one shard."""

    number: int
    num_samples: int
    """Written now; 0 if the shard was there."""
    num_pictures: int
    """Different ones among them."""
    findings: tuple[str, ...]
    cpu_s: float
    """Time of a core that it took."""


def main(arguments: Sequence[str]) -> int:
    """Run `vla data web generate`; the exit status."""
    return cli.run("data web generate", GenerateConfig, generate, arguments)


def generate(config: GenerateConfig) -> int:
    """Write what is missing of the corpus; 0, or 1 where a check disagrees with a label.

    Raises:
        ConfigError: if a kind or number is not valid, or the folder holds something else; nothing is written then.
    """
    corpus = _corpus_of(config)
    _check_numbers(config)
    named: dict[str, Any] = {"identity": _identity(config), "picture_format": config.pictures, "quality": JPEG_QUALITY}
    begin_shards(corpus, config.out, config.samples_per_shard, **named)
    begin = time.monotonic()
    done = list(_show(_run(config), num_shards(config.count, config.samples_per_shard)))
    seconds = time.monotonic() - begin
    write_shards(corpus, config.out, config.samples_per_shard, **named)
    write_atomically(config.out / SHEET_FILE, contact_sheet(corpus))
    write_atomically(config.out / CARD_FILE, card(corpus, versions()))
    return _summarise(config, done, seconds)


def versions() -> dict[str, str]:
    """Of what the pictures depend on."""
    return {"vla": vla.__version__, "mujoco": mujoco.__version__, "numpy": np.__version__, "opencv": cv2.__version__}


def _corpus_of(config: GenerateConfig) -> ProceduralCorpus:
    return ProceduralCorpus(config.kind, config.count, config.seed, config.templates)


def _check_numbers(config: GenerateConfig) -> None:
    for name in ("samples_per_shard", "workers"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ConfigError(f"{name} is at least 1, got {value}")
    if config.out.is_file():
        raise ConfigError(f"out={config.out} is a file: name the folder to write into")


def _identity(config: GenerateConfig) -> str:
    """What shards of one folder have in common, as a hash."""
    kinds = list(_corpus_of(config).kinds)
    common = {"kinds": kinds, "seed": config.seed, "templates": config.templates.value, "versions": versions()}
    return cli.config_hash(common)


# --------------------------------------------------------------------------- many processes


def _run(config: GenerateConfig) -> Iterator[Done]:
    """Write the shards, in this process or in several."""
    numbers = range(num_shards(config.count, config.samples_per_shard))
    workers = min(config.workers or os.cpu_count() or 1, len(numbers))
    if workers == 1:
        yield from (_write(config, number) for number in numbers)
        return
    # Spawned, not forked: a GL context does not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
    try:
        pending: set[Future[Done]] = {pool.submit(_write, config, number) for number in numbers}
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    # Ctrl-C reaches the whole group; the parent alone decides: a worker ends after its shard.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write(config: GenerateConfig, number: int) -> Done:
    corpus = _made_once(tuple(config.kind), config.count, config.seed, config.templates)
    watched = _Watched(corpus, _checker(corpus) if config.check else None)
    begin, per_shard = time.process_time(), config.samples_per_shard
    write_shard(watched, config.out, number, per_shard, picture_format=config.pictures, quality=JPEG_QUALITY)
    cpu_s = time.process_time() - begin
    return Done(number, watched.num_samples, len(watched.pictures), tuple(watched.findings), cpu_s)


@functools.cache
def _made_once(kinds: tuple[str, ...], count: int, seed: int, templates: TemplateSet) -> ProceduralCorpus:
    """One a process: its pictures are kept."""
    return ProceduralCorpus(kinds, count, seed, templates)


@functools.cache
def _checker(corpus: ProceduralCorpus) -> Checker:
    return Checker(corpus.album)


class _Watched:
    """A corpus whose samples are counted, and checked, as they are taken."""

    def __init__(self, corpus: ProceduralCorpus, checker: Checker | None) -> None:
        self._corpus = corpus
        self._checker = checker
        self.num_samples = 0
        self.pictures: set[int] = set()
        self.findings: list[str] = []

    def __len__(self) -> int:
        return len(self._corpus)

    def __getitem__(self, index: int, /) -> WebSample:
        sample = self._corpus[index]
        self.num_samples += 1
        self.pictures.update(hash(image.tobytes()) for image in sample.images)
        finding = self._checker.finding(sample) if self._checker is not None else ""
        if finding:
            self.findings.append(f"{sample.source}: {finding}")
        return sample


# --------------------------------------------------------------------------- what is shown


def _show(results: Iterator[Done], total: int) -> Iterator[Done]:
    columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with told(Progress(*columns, console=Console(stderr=True))) as progress:
        bar = progress.add_task("shards", total=total)
        for result in results:
            progress.advance(bar)
            yield result


def _summarise(config: GenerateConfig, done: Sequence[Done], seconds: float) -> int:
    corpus = _corpus_of(config)
    counts = collections.Counter(corpus.kinds[index % len(corpus.kinds)] for index in range(config.count))
    for kind in corpus.kinds:
        print(f"{kind:<12} {counts[kind]:>8}")
    findings = [finding for result in done for finding in result.findings]
    for finding in findings:
        print(finding, file=sys.stderr)
    num_samples, num_pictures = sum(d.num_samples for d in done), sum(d.num_pictures for d in done)
    if config.check:
        print(f"checked {num_samples}: {num_samples - len(findings)} answers agree, {len(findings)} do not")
    if not num_samples:
        print(f"nothing to draw: every shard is in {config.out}")
        return 0
    rates = f"{num_samples / seconds:.0f} a second, {num_pictures / seconds:.0f} different pictures a second"
    rates += f"; {num_samples / sum(result.cpu_s for result in done):.0f} for each second of a core"
    print(f"{num_samples} samples in {seconds:.0f} s ({rates}) in {config.out}")
    return 1 if findings else 0
