"""A training process that is stopped whenever it is not its turn, workers and all, and goes on just where it was.

So nobody fills his queues, or takes a core, while the other is timed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.trainers.gate import ANSWERS_VARIABLE, ORDERS_VARIABLE, Round
from vla.errors import ConfigError


class PausedTraining:
    """One side."""

    def __init__(self, module: str, arguments: Sequence[str], variables: Mapping[str, str], log: Path) -> None:
        """Start it, and wait until it stands before its first step.

        Raises:
            ConfigError: if it ends before, with the end of what it said.
        """
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self._log, self._name = log, module
        with open(log, "w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=os.environ | variables | {ORDERS_VARIABLE: str(orders), ANSWERS_VARIABLE: str(answers)},
                pass_fds=(orders, answers),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        os.close(orders)
        os.close(answers)
        self._lines = os.fdopen(self._answers)
        self.facts: dict[str, Any] = self._answer()
        self._pause()

    def round(self, warm: int, steps: int) -> Round:
        """Take so many steps, the first of them untimed."""
        for process in self._tree():
            process.resume()
        os.write(self._orders, f"{warm} {steps}\n".encode())
        found = Round(**self._answer())
        self._pause()
        return found

    def end(self) -> None:
        """End it and what it started."""
        tree = self._tree()
        for process in tree:
            process.kill()
        self._process.wait()
        os.close(self._orders)
        self._lines.close()

    def _answer(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise ConfigError(f"{self._name} ended: {self._log.read_text()[-2000:]}")
        return dict(json.loads(line))

    def _pause(self) -> None:
        for process in self._tree():
            process.suspend()

    def _tree(self) -> list[psutil.Process]:
        whole = psutil.Process(self._process.pid)
        return [whole, *whole.children(recursive=True)]
