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
from vla_policies.vqa import measure_vqa
from vla_policies.web_rows import load_web, open_web

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
        camera = checkpoint.embodiment.cameras[0]
        rows = load_web([open_web(path) for path in self._data], camera, samples=self._samples)
        report = measure_vqa(checkpoint.build_model(), checkpoint.text_tokenizer, rows)
        told |= {"data": self._data, when: {"step": checkpoint.step} | report.to_json()}
        if when == "after" and (before := told.get("before", {}).get("all", {}).get("exact", {}).get("success")):
            told["kept"] = report.all.exact.success / before
        write_atomically(self._path, json.dumps(told, indent=1) + "\n")
        kept = f", {told['kept']:.0%} of before" if "kept" in told else ""
        Console(stderr=True, soft_wrap=True).print(f"questions right {when} training: {report.all.exact}{kept}")

    def _read(self) -> dict[str, Any]:
        return json.loads(self._path.read_text()) if self._path.exists() else {}
