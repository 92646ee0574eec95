"""What a training run tells while it goes on: lines of JSON, a bar, and what trackers read if asked for.

OUT/log.jsonl      a line every so often, flushed; lines of steps that will be done again are dropped
OUT/tensorboard/   the same figures (extra `tracking`)
OUT/wandb/         the same figures, or what was not sent yet (extra `wandb`)
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vla.files import write_atomically
from vla.libraries import require_library
from vla.progress import told
from vla_policies.trainer import StepMetrics
from vla_policies.weights_and_biases import WeightsAndBiases

LOG = "log.jsonl"
TENSORBOARD = "tensorboard"
TIMES = ("samples_per_s", "data_wait_share", "operations_per_s", "utilisation")
"""What is measured by the clock, and differs where all else is equal."""
RIGHT = "/words_right"
"""Ends the name of a web source's share of words that are right."""


class TrainingLog:
    """The figures of a run, from one step on."""

    def __init__(
        self, out: Path, step: int, *, tensorboard: bool = False, tracked: WeightsAndBiases | None = None
    ) -> None:
        """Go on behind `step`.

        Args:
            tracked: gets the same figures.

        Raises:
            ConfigError: if TensorBoard is asked for and not installed.
        """
        self._tracked = tracked
        self._path = out / LOG
        self._board = _board(out / TENSORBOARD, step) if tensorboard else None
        self.rewind(step)

    def rewind(self, step: int) -> None:
        """Drop the lines of all later steps."""
        lines = self._path.read_text().splitlines() if step else []
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        write_atomically(self._path, "".join(f"{line}\n" for line in kept))

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """One line; what is not a number is left out of it."""
        told = {name: round(value, 6) for name, value in figures.items() if not math.isnan(value)}
        with open(self._path, "a") as file:
            file.write(json.dumps({"step": step, **told}) + "\n")
        if self._board is not None:
            for name, value in told.items():
                self._board.add_scalar(name, value, step)
            self._board.flush()
        if self._tracked is not None:
            self._tracked.write(step, told)

    def close(self) -> None:
        """Nothing more will be written."""
        if self._tracked is not None:
            self._tracked.close()


def figures(metrics: StepMetrics) -> dict[str, float]:
    """By name, those of web sources among them."""
    named = {field.name: getattr(metrics, field.name) for field in dataclasses.fields(metrics)}
    return named | named.pop("web")


@contextlib.contextmanager
def progress_bar(total: int, first: int) -> Iterator[Any]:
    """Yields a function of step, metrics and seconds to go that moves the bar."""
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with told(Progress(*columns)) as progress:
        bar = progress.add_task("", total=total, completed=first, said="", left="")
        yield lambda step, metrics, left_s: progress.update(
            bar, completed=step, said=in_short(metrics), left=in_hours(left_s)
        )


def in_hours(left_s: float | None) -> str:
    """Seconds to go, for people; nothing if they are not known."""
    return "" if left_s is None else f"{datetime.timedelta(seconds=round(left_s))} to go"


def in_short(metrics: StepMetrics) -> str:
    """Loss and shares of tokens that are right, the robot's and each web source's."""
    shares = {} if math.isnan(metrics.accuracy) else {"tokens": metrics.accuracy}
    shares |= {name.removesuffix(RIGHT): value for name, value in metrics.web.items() if name.endswith(RIGHT)}
    right = "  ".join(f"{name} {value:.0%}" for name, value in shares.items())
    return f"loss {metrics.loss:.3f}" + (f"  right: {right}" if right else "")


def _board(folder: Path, step: int) -> Any:
    """TensorBoard's writer, whose figures behind `step` are dropped."""
    board = require_library("torch.utils.tensorboard", what="tensorboard=true", extra="tracking")
    return board.SummaryWriter(str(folder), purge_step=step + 1)
