"""What a training run did to language and vision: the same questions before and after, in the run's folder.

OUT/gate.json    {"data": [...], "before": {...}, "after": {...}, "kept": 0.97}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from vla.files import write_atomically
from vla_policies.checkpoint import Checkpoint
from vla_policies.vqa import VqaReport, measure_vqa
from vla_policies.web_rows import load_web, open_web, seen_by

GATE_FILE = "gate.json"


class Gate:
    """The questions, and where their figures go."""

    def __init__(self, out: Path, data: Sequence[str], samples: int) -> None:
        """Nothing is read yet.

        Args:
            samples: how many of each of `data`; 0 for all.
        """
        self._path, self._data, self._samples = out / GATE_FILE, list(data), samples

    def measure(self, when: str, checkpoint: Checkpoint) -> None:
        """Write the figures of a checkpoint; with those of `before` at hand, what `after` kept of them.

        Raises:
            ConfigError: if the policy does not answer in words.
            DataError: naming what cannot be read.
        """
        told = self._read()
        if told.get(when, {}).get("step") == checkpoint.step:
            return
        report = ask(checkpoint, self._data, self._samples)
        told |= {"data": self._data, when: {"step": checkpoint.step} | report.to_json()}
        if when == "after" and (before := told.get("before", {}).get("all", {}).get("exact", {}).get("success")):
            told["kept"] = report.all.exact.success / before
        write_atomically(self._path, json.dumps(told, indent=1) + "\n")
        kept = f", {told['kept']:.0%} of before" if "kept" in told else ""
        Console(stderr=True, soft_wrap=True).print(f"questions right {when} training: {report.all.exact}{kept}")

    def _read(self) -> dict[str, Any]:
        return json.loads(self._path.read_text()) if self._path.exists() else {}


def ask(checkpoint: Checkpoint, data: Sequence[str], samples: int, device: str = "cpu") -> VqaReport:
    """What a checkpoint knows of the questions at these paths.

    Args:
        samples: how many of each of `data`; 0 for all.

    Raises:
        ConfigError: if the policy does not answer in words.
        DataError: naming what cannot be read.
    """
    camera = seen_by(checkpoint.backbone, checkpoint.embodiment.cameras[0])
    rows = load_web([open_web(path) for path in data], camera, samples=samples)
    model = checkpoint.build_model().to(device)
    return measure_vqa(model, checkpoint.text_tokenizer, checkpoint.backbone, rows)
