"""A run's figures in Weights & Biases (extra `wandb`).

Where they go is for its own environment variables to say: WANDB_PROJECT, WANDB_MODE=offline for a machine without
network, whose figures `wandb sync` sends later from OUT/wandb.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla.files import write_atomically
from vla.libraries import require_library

RUN_ID = "wandb-id"
"""File that holds the run's name there, so that a run that goes on is the same one."""


class WeightsAndBiases:
    """One run."""

    def __init__(self, out: Path, config: Mapping[str, Any]) -> None:
        """Begin, or go on.

        Args:
            config: of the run, as plain values.

        Raises:
            ConfigError: if the package is not installed.
        """
        library = require_library("wandb", what="wandb=true", extra="wandb")
        self._run = library.init(dir=str(out), id=_run_id(out), name=out.name, resume="allow", config=dict(config))
        # Its own count of steps can only grow; a run that goes back to a checkpoint counts some again.
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """The figures of a step."""
        self._run.log({"step": step, **figures})

    def close(self) -> None:
        """Send or write what is left."""
        self._run.finish()


def _run_id(out: Path) -> str:
    path = out / RUN_ID
    if not path.exists():
        write_atomically(path, uuid.uuid4().hex)
    return path.read_text(encoding="utf-8")
