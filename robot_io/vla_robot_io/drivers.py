"""Robots by name: the entry points of the group `vla.robots`, to which any package may add its own."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from vla.errors import unknown
from vla.interfaces import Clock, Robot

ROBOTS = "vla.robots"
"""The entry-point group in which robots are found."""


def driver(name: str, what: str = "driver") -> Callable[..., Robot]:
    """What makes the robots of this name: see `vla.interfaces.Robot`.

    Args:
        what: the name is, for the message: `robot behind the servos`.

    Raises:
        ConfigError: if there is no such entry point.
    """
    entries = {entry.name: entry for entry in importlib.metadata.entry_points(group=ROBOTS)}
    if name not in entries:
        raise unknown(what, name, entries)
    return entries[name].load()


@runtime_checkable
class RobotChoice(Protocol):
    """The part of a configuration that says which robot it is."""

    driver: str
    instruction: str
    seed: int
    options: dict[str, Any]


def make_robot(config: RobotChoice, clock: Clock) -> Robot:
    """The robot that a driver's entry point makes.

    Raises:
        ConfigError: if there is no such entry point, or it does not know an option.
    """
    make = driver(config.driver)
    own = {"instruction": config.instruction, "seed": config.seed}
    known = [name for name in inspect.signature(make).parameters if name not in ("clock", *own)]
    for name in config.options:
        if name not in known:
            raise unknown(f"option of robot '{config.driver}'", name, known)
    return make(clock, **own, **config.options)
