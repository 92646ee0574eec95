"""The tasks, by name, and the suites they make up. To add one, read and imitate `reach.py`."""

from __future__ import annotations

import itertools

from vla.errors import unknown
from vla_sim.tasks import (
    open_drawer,
    pick_up,
    press_button,
    push_to_pad,
    put_in_bowl,
    put_on_pad,
    reach,
    stack,
)
from vla_sim.tasks.task import Colours as Colours
from vla_sim.tasks.task import Grounding as Grounding
from vla_sim.tasks.task import Task as Task
from vla_sim.worlds.scene import COLOURS

_MODULES = (reach, push_to_pad, pick_up, put_on_pad, put_in_bowl, stack, open_drawer, press_button)

TASKS: dict[str, Task] = {task.name: task for task in (*(module.TASK for module in _MODULES), stack.SWAPPED_TASK)}
SUITES: dict[str, tuple[str, ...]] = {"tabletop": tuple(module.TASK.name for module in _MODULES)}
"""What `suite=` names."""
GROUPS: dict[str, tuple[str, ...]] = {
    "free_motion": (reach.TASK.name,),
    "pushing": (push_to_pad.TASK.name, press_button.TASK.name),
    "grasping": (pick_up.TASK.name, open_drawer.TASK.name),
    "placing": (put_on_pad.TASK.name, put_in_bowl.TASK.name, stack.TASK.name, stack.SWAPPED_TASK.name),
}
"""Tasks by what the hand does."""
SETS: tuple[tuple[str, ...], ...] = ((stack.TASK.name, stack.SWAPPED_TASK.name),)
"""Tasks in the same scene that are also scored together."""


def all_instructions(suite: str = "tabletop") -> list[str]:
    """Every sentence that the suite's training templates can say, each once, in a fixed order.

    Raises:
        ConfigError: if there is no such suite.
    """
    if suite not in SUITES:
        raise unknown("suite", suite, SUITES)
    sentences: dict[str, None] = {}
    for task in (TASKS[name] for name in SUITES[suite]):
        for template in task.training:
            for colours in itertools.product(COLOURS, repeat=len(task.roles)):
                if len(set(task.names(colours))) == len(colours):
                    sentences[template.format(*colours)] = None
    return list(sentences)


def match(instruction: str, suite: str = "tabletop") -> tuple[str, Colours] | None:
    """The task of the suite, and the colours it names, that a sentence speaks of; None if no template fits it."""
    for name in SUITES[suite]:
        colours = TASKS[name].match(instruction)
        if colours is not None and len(set(TASKS[name].names(colours))) == len(colours):
            return name, colours
    return None
