"""Every task that an episode of the table can be of, by name: those of `vla_sim.tasks`, and those perturbed."""

from __future__ import annotations

import functools

from vla.errors import unknown
from vla_sim.perturbations.axes import AXES, STRENGTHS
from vla_sim.perturbations.tasks import perturbed
from vla_sim.tasks import TASKS, Task
from vla_sim.tasks.task import BASE


@functools.lru_cache(maxsize=4096)
def task_named(name: str) -> Task:
    """The task of this name; `TASK@AXISn` is one of the table's, perturbed.

    Raises:
        ConfigError: if there is none.
    """
    base, mark, cell = name.partition(BASE)
    if base not in TASKS:
        raise unknown("task", base, TASKS)
    if not mark:
        return TASKS[base]
    cells = {f"{axis}{strength}": (axis, strength) for axis in AXES for strength in STRENGTHS}
    if cell not in cells:
        raise unknown("perturbation", cell, cells)
    return perturbed(TASKS[base], *cells[cell])
