r"""A training loop that takes so many steps, tells how long they took, and waits for the next order.

    ─► step ─► log, data ─► step ─► ... ─┐           all of a loop's time lies between two beginnings of a step
       ▲            orders: "2 5\n"      │           two steps to warm up, then five that are timed
       └─────────── a line of JSON ◄─────┘

The loop itself is whoever's it is: its step is wrapped, and nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from typing import Any

import psutil

ORDERS_VARIABLE, ANSWERS_VARIABLE = "TRAINING_ORDERS", "TRAINING_ANSWERS"
"""The numbers of the open files from which orders come and into which answers go."""


@dataclasses.dataclass(frozen=True)
class Round:
    """What so many steps took."""

    steps: int
    wall_s: float
    cpu_s: float
    """Processor time of the process and of those that load its data."""
    wait_s: float
    """From the end of a step to the beginning of the next: data, preprocessing, log."""


class Gate:
    """Stands before every step of a training loop."""

    def __init__(self) -> None:
        """Open the files that the environment names."""
        self._orders = os.fdopen(int(os.environ[ORDERS_VARIABLE]), "r")
        self._answers = os.fdopen(int(os.environ[ANSWERS_VARIABLE]), "w")
        self._told: dict[str, Any] = {}
        self._warm = self._timed = self._left = 0
        self._began = self._cpu = self._ended = self._waited = 0.0

    def tell(self, **facts: Any) -> None:
        """What else the first answer says."""
        self._told |= facts

    def wrapped[**P, R](self, step: Callable[P, R]) -> Callable[P, R]:
        """The step, behind the gate."""

        def gated(*arguments: P.args, **options: P.kwargs) -> R:
            self._before()
            result = step(*arguments, **options)
            self._ended = time.perf_counter()
            return result

        return gated

    def _before(self) -> None:
        now = time.perf_counter()
        if self._warm == 0 and self._left < self._timed:
            self._waited += now - self._ended
        if self._left == 0:
            self._pass_on(now)
        if self._warm > 0:
            self._warm -= 1
        elif self._left == self._timed:
            self._began, self._cpu, self._waited = time.perf_counter(), _cpu_s(), 0.0
            self._left -= 1
        else:
            self._left -= 1

    def _pass_on(self, now: float) -> None:
        """Tell of the round that is over, and wait for the next order; without one, end."""
        if self._timed:
            self._answer(dataclasses.asdict(Round(self._timed, now - self._began, _cpu_s() - self._cpu, self._waited)))
        else:
            self._answer(self._told)
        order = self._orders.readline()
        if not order:
            raise SystemExit(0)
        self._warm, self._timed = (int(word) for word in order.split())
        self._left = self._timed

    def _answer(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()


def _cpu_s() -> float:
    """Processor time of this process and of its children, those that ended and those that go on."""
    process = psutil.Process()
    own = process.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in process.children(recursive=True):
        times = child.cpu_times()
        total += times.user + times.system
    return total
