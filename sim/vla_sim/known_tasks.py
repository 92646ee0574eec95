"""Every task of templates that an episode of the table can be of, by name; and each of them perturbed."""

from __future__ import annotations

import functools

from vla.errors import unknown
from vla_sim.perturbations.axes import AXES, STRENGTHS
from vla_sim.perturbations.tasks import ALONE, alone, perturbed
from vla_sim.tasks import TASKS, Task
from vla_sim.tasks.long_horizon import LONG_HORIZON_TASKS
from vla_sim.tasks.memory import MEMORY_TASKS
from vla_sim.tasks.task import BASE

KNOWN_TASKS: dict[str, Task] = TASKS | LONG_HORIZON_TASKS | MEMORY_TASKS
"""By name, unperturbed."""


@functools.lru_cache(maxsize=4096)
def task_named(name: str) -> Task:
    """The task of this name; `TASK@AXISn` is one of them, perturbed, `TASK@alone` without what it does not name.

    Raises:
        ConfigError: if there is none.
    """
    base, mark, cell = name.partition(BASE)
    if base not in KNOWN_TASKS:
        raise unknown("task", base, KNOWN_TASKS)
    if not mark:
        return KNOWN_TASKS[base]
    if cell == ALONE:
        return alone(KNOWN_TASKS[base])
    cells = {f"{axis}{strength}": (axis, strength) for axis in AXES for strength in STRENGTHS}
    if cell not in cells:
        raise unknown("perturbation", cell, cells)
    return perturbed(KNOWN_TASKS[base], *cells[cell])


@functools.lru_cache(maxsize=64)
def some_instructions(names: tuple[str, ...], draws: int = 40) -> tuple[str, ...]:
    """Sentences of training of some tasks: every template, in as many choices of colours as are drawn, seed by seed."""
    sentences: dict[str, None] = {}
    for task in (KNOWN_TASKS[name] for name in names):
        for seed in range(draws):
            colours = task.draw_colours(seed)
            sentences.update(dict.fromkeys(template.format(*colours) for template in task.training))
    return tuple(sentences)
