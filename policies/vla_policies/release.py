"""A training run made ready to ship: the checkpoint without its training state, and the log beside it.

python -m vla_policies.release runs/tabletop policies/vla_policies/pretrained
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla.errors import VlaError
from vla.files import write_atomically
from vla_policies.checkpoint import for_running, load_checkpoint, save_checkpoint
from vla_policies.train import LOG


def release(run: Path, folder: Path) -> None:
    """Write what a policy needs to run, and how it was trained, into `folder`.

    Raises:
        CheckpointError: if the run has no whole checkpoint.
    """
    checkpoint = for_running(load_checkpoint(run))
    save_checkpoint(folder, dataclasses.replace(checkpoint, config=without_places(checkpoint.config)))
    write_atomically(folder / LOG, (run / LOG).read_bytes())


def without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's configuration without where things lay on the machine that trained it, which is nobody's business."""
    names = {key: [Path(path).name for path in config.get(key, [])] for key in ("data", "web")}
    return {**config, **names, "out": Path(config["out"]).name}


if __name__ == "__main__":
    try:
        release(*(Path(argument) for argument in sys.argv[1:3]))
    except VlaError as error:
        sys.exit(f"error: {error}")
