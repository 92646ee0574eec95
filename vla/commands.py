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
    "data check": Command(
        "vla_datasets.upkeep.check_command:main", "tell whether a store is whole, and what looks wrong in it"
    ),
    "data repair": Command("vla_datasets.upkeep.repair_command:main", "move what is damaged out of a store"),
    "data info": Command("vla_datasets.upkeep.info_command:main", "tell what is in a store: tasks, words, bytes"),
    "data stats": Command("vla_datasets.upkeep.stats_command:main", "compute exact statistics of each field"),
    "data view": Command("vla_datasets.upkeep.view_command:main", "make a gallery of episodes: films, actions, states"),
    "data split": Command("vla_datasets.upkeep.split_command:main", "split a store so that nothing leaks"),
    "data import": Command("vla_datasets.exchange.import_command:main", "bring a dataset of others into a store"),
    "data export": Command("vla_datasets.exchange.export_command:main", "write a store as a LeRobot dataset"),
    "train": Command("vla_policies.train:main", "train a policy on recorded episodes"),
    "vqa": Command("vla_policies.vqa_command:main", "ask a policy about pictures: exact answers by kind"),
    "tokens fit": Command("vla_policies.tokens_command:fit_main", "fit an action tokenizer to recorded episodes"),
    "tokens report": Command("vla_policies.tokens_command:report_main", "compare all action tokenizers on a store"),
    "data web generate": Command("vla_sim.corpus.generate:main", "draw image-text data with labels that are checked"),
    "data web info": Command("vla_datasets.web.web_command:info_main", "count what an image-text corpus is made of"),
    "data web view": Command("vla_datasets.web.web_command:view_main", "write a page that shows samples of a corpus"),
    "eval": Command("vla_sim.evaluate:main", "measure a policy in closed loop, with its controls"),
    "check": Command("vla_sim.check:main", "try out what a suite declares: gripper, axes, rate"),
    "compare": Command("vla_sim.compare:main", "tell which of two evaluated policies is better, and how sure that is"),
    "parity": Command(
        "vla_sim.engine_parity.command:main", "compare the physics engines on the same scenes and commands"
    ),
    "serve": Command("vla_policies.serve:main", "serve a policy to robots elsewhere, and to openpi clients"),
    "deploy": Command("vla_robot_io.deploy:main", "run a policy on an arm, behind the safety envelope"),
    "deploy inspect": Command(
        "vla_robot_io.inspect_command:main", "draw a run on an arm, and do it again in simulation"
    ),
    "teleop": Command(
        "vla_robot_io.teleoperation.teleop_command:main", "drive an arm by hand and record it: keys, pads, a leader arm"
    ),
    "console": Command(
        "vla_robot_io.console.console_command:main", "show a run on an arm on a local page, with a stop button"
    ),
    "robot scan": Command("vla_robot_io.servos.robot_commands:scan_main", "look for servos on a port"),
    "robot check": Command("vla_robot_io.servos.robot_commands:check_main", "read what servos say of themselves"),
    "robot calibrate": Command(
        "vla_robot_io.servos.robot_commands:calibrate_main", "find out what the ticks of an arm's servos mean"
    ),
}
"""By name; a name of two or more words is a command of a group: `tokens fit`."""

HELP_FLAGS = ("--help", "-h", "help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 a bug, 2 bad input, 130 interrupted.

    Args:
        arguments: without the program's name; those of this process if not given.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if words == ["--version"]:
        print(f"vla {vla.__version__}")
        return 0
    try:
        name, rest = _split(words)
        if name in COMMANDS:
            return _resolve(name)(rest)
        if rest and rest[0] not in HELP_FLAGS:
            raise unknown(f"command of 'vla {name}':" if name else "command", rest[0], _next_words(name))
        print(_help(name))
        return 0
    except VlaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _split(words: list[str]) -> tuple[str, list[str]]:
    """The longest beginning that names a command or a group of them (no words: all of them), and what follows."""
    for count in range(len(words), 0, -1):
        name = " ".join(words[:count])
        if any(f"{command} ".startswith(f"{name} ") for command in COMMANDS):
            return name, words[count:]
    return "", words


def _next_words(group: str) -> list[str]:
    """What may follow the words of a group, in the table's order."""
    depth = len(group.split())
    return list(dict.fromkeys(name.split()[depth] for name in _members(group)))


def _members(group: str) -> list[str]:
    return [name for name in COMMANDS if f"{name} ".startswith(f"{group} ") or not group]


def _resolve(name: str) -> Callable[[list[str]], int]:
    module, function = COMMANDS[name].entry.split(":")
    return getattr(importlib.import_module(module), function)


def _help(group: str) -> str:
    names = _members(group)
    width = max(len(name) for name in names) + 2
    lines = [] if group else [vla.__doc__ or "", ""]
    lines += [
        f"usage: vla {group + ' ' if group else ''}COMMAND [key=value ...] [--show-config] [--help]",
        "",
        "commands",
    ]
    lines += [f"  {name:<{width}}{COMMANDS[name].summary}" for name in names]
    command = f"{group} COMMAND" if group else "COMMAND"
    return "\n".join([*lines, "", f"`vla {command} --help` lists every key with its meaning, default and choices."])
