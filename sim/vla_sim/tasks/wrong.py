"""The control: the same scene, told to do something else. It never entails the success of the original."""

from __future__ import annotations

import itertools

import numpy as np

from vla.interfaces import TemplateSet
from vla_sim.tasks import SUITES, TASKS
from vla_sim.tasks.task import Colours, Task
from vla_sim.worlds.scene import Scene


def wrong_instruction(
    task: Task, colours: Colours, scene: Scene, templates: TemplateSet, generator: np.random.Generator
) -> str:
    """Words for another task that this scene offers; half the time of the same kind, where there is one."""
    offers = [offer for offer in _offers(scene) if not _may_entail(*offer, task, colours)]
    same = [offer for offer in offers if offer[0].name == task.base]
    chosen = same if same and generator.random() < 0.5 else offers
    other, other_colours = chosen[int(generator.integers(len(chosen)))]
    return other.instruction(other_colours, templates, generator)


def _offers(scene: Scene) -> list[tuple[Task, Colours]]:
    """Every task of the suite, with every choice of colours, that this scene has the things for."""
    offers = []
    for task in (TASKS[name] for name in SUITES["tabletop"]):
        if not all(scene.of_kind(kind) for kind in task.needs):
            continue
        choices = [[thing.colour for thing in scene.of_kind(kind)] for kind in task.roles]
        for colours in itertools.product(*choices):
            if len(set(task.names(colours))) == len(colours):
                offers.append((task, colours))
    return offers


def _may_entail(other: Task, other_colours: Colours, task: Task, colours: Colours) -> bool:
    """Whether doing `other` might do `task` on the way.

    So it is if both act on the same thing; and a task that is about one thing alone, such as reaching for it, might
    be done by anything that is done near that thing.
    """
    names, other_names = task.names(colours), other.names(other_colours)
    if not names:
        return other.name == task.base
    return names[0] in (other_names if len(names) == 1 else other_names[:1])
