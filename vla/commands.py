"""The one command, `vla`: a table from sub-command to the function that does it.

Each function lives in the highest package it needs, and is imported only when asked for:
`vla --help` loads neither torch nor a simulator.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import vla
from vla.errors import VlaError, unknown


class Command(NamedTuple):
    """One line of the table."""

    entry: str
    """`package.module:function`; the function takes the arguments and returns the exit status."""
    summary: str


COMMANDS = {
    "demo": Command("vla_sim.demo:main", "drive the simulated arm with the shipped policy; table, report and videos"),
    "collect": Command("vla_sim.collect:main", "record demonstrations, or label the states a policy visits"),
    "train": Command("vla_policies.train:main", "train a policy on recorded episodes"),
    "tokens": Command("vla_policies.tokens_command:main", "fit action tokenizers to recorded episodes, compare them"),
    "eval": Command("vla_sim.evaluate:main", "measure a policy in closed loop, with its controls"),
    "deploy": Command("vla_robot_io.deploy:main", "run a policy on an arm, behind the safety envelope"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one sub-command and return its exit status: 0 done, 1 a bug, 2 bad input, 130 interrupted.

    Args:
        arguments: without the program's name; those of this process if not given.
    """
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("--help", "-h", "help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"vla {vla.__version__}")
        return 0
    try:
        return _resolve(name)(rest)
    except VlaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _resolve(name: str) -> Callable[[list[str]], int]:
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    module, function = COMMANDS[name].entry.split(":")
    return getattr(importlib.import_module(module), function)


def _help() -> str:
    lines = [vla.__doc__ or "", "", "usage: vla COMMAND [key=value ...] [--show-config] [--help]", "", "commands"]
    lines += [f"  {name:<9}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "`vla COMMAND --help` lists every key with its meaning, default and choices."])
