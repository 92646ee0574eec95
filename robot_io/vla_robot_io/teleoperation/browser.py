"""Pads on a web page, by way of the console: a phone in the hand drives the arm.

    finger on a pad ─► page ─► console ── mailbox ──► run, every control step
                                              └─ held? looked at before every command

What the pads say holds for 200 ms. A page that hangs, a phone that leaves the network and a console that dies are all a
dead-man switch let go.
"""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32

from vla.errors import WireError
from vla.interfaces import Observation
from vla_robot_io.operating.letterbox import Mailbox
from vla_robot_io.teleoperation.hand_drive import HandDrive, Push

HELD_FOR_S = 0.2
"""A push is as old as this at most."""
LOOKED_FOR_S = 2.0
"""A console that has not been heard of for this long is not there."""


@dataclasses.dataclass(frozen=True, slots=True)
class Pads:
    """What the console says, many times a second."""

    push: Push
    is_held: bool
    """Whether a finger is on a pad."""
    said_s: float
    """When, by this machine's monotonic clock."""


NO_PADS = Pads(Push(), False, -math.inf)


class BrowserTeleoperator:
    """The run's end of the pads."""

    name = "browser"

    def __init__(self, mailbox: Mailbox, drive: HandDrive, now: Callable[[], float] = time.monotonic) -> None:
        self._mailbox, self._drive, self._now = mailbox, drive, now
        self._pads = NO_PADS

    @property
    def is_held(self) -> bool:
        return self._newest().is_held and self._now() - self._pads.said_s <= HELD_FOR_S

    @property
    def is_looked_at(self) -> bool:
        """Whether a console is there."""
        return self._now() - self._newest().said_s <= LOOKED_FOR_S

    @property
    def is_over(self) -> bool:
        """Never: another page may be opened."""
        return False

    def connect(self) -> None:
        """The mailbox is there already."""

    def read(self, observation: Observation) -> Float32[np.ndarray, " action_dim"] | None:
        return self._drive.action(self._pads.push, observation) if self.is_held else None

    def close(self) -> None:
        """The mailbox belongs to the run's view."""

    def _newest(self) -> Pads:
        message = self._mailbox.read()
        if message is not None:
            try:
                self._pads = pads_of(json.loads(message))
            except (WireError, ValueError):
                self._pads = NO_PADS
        return self._pads


def pads_message(pads: Pads) -> bytes:
    """As it goes into the mailbox."""
    return json.dumps({**dataclasses.asdict(pads.push), "held": pads.is_held, "said_s": pads.said_s}).encode()


def pads_of(tree: Any, said_s: float | None = None) -> Pads:
    """What a page or the mailbox says.

    Args:
        tree: `x`, `y`, `z`, `yaw`, `gripper`, `held`, `said_s`, each as in `Pads`; what is absent is not pushed.
        said_s: in place of the tree's own.

    Raises:
        WireError: if it is anything else.
    """
    if not isinstance(tree, Mapping):
        raise WireError("pads are an object of numbers")
    values = {name: _number(tree, name) for name in ("x", "y", "z", "yaw")}
    gripper = None if tree.get("gripper") is None else _number(tree, "gripper")
    held = tree.get("held", False)
    if not isinstance(held, bool):
        raise WireError("pads: held is true or false")
    return Pads(Push(**values, gripper=gripper), held, _number(tree, "said_s") if said_s is None else said_s)


def _number(tree: Mapping[str, Any], name: str) -> float:
    value = tree.get(name, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise WireError(f"pads: {name} is a finite number")
    return float(value)
