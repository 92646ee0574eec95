"""Perturbed tasks and their names: `put_on_pad@camera2` is `put_on_pad`, the camera moved by the second strength.

Seed by seed it has the scene and the words of the task it is made of, so that the two are compared in pairs; and its
scenes count as that task's where training data is searched for leaks.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np

from vla_sim.perturbations.axes import AXES, STRENGTHS
from vla_sim.tasks.task import BASE, Task
from vla_sim.worlds.scene import Kind, Scene

ALONE = "alone"
"""What follows a task's name where nothing but what it names is in its scenes."""
MORE_STEPS = {"shove": 15, "start": 5}
"""Beyond the task's own: what is undone has to be done again."""


def perturbed(task: Task, axis: str, strength: int) -> Task:
    """A task, perturbed."""
    return dataclasses.replace(
        task,
        name=f"{task.name}{BASE}{axis}{strength}",
        scene_of=task.scene_of or task.name,
        max_steps=task.max_steps + MORE_STEPS.get(axis, 0),
        vary=functools.partial(_vary, axis=axis, strength=strength),
    )


def _vary(scene: Scene, names: tuple[str, ...], generator: np.random.Generator, axis: str, strength: int) -> Scene:
    return AXES[axis](scene, names, generator, strength)


def alone(task: Task) -> Task:
    """A task in its own scenes, in which nothing is left but what its instruction names: there is nothing to mix up."""
    return dataclasses.replace(
        task,
        name=f"{task.name}{BASE}{ALONE}",
        scene_of=task.scene_of or task.name,
        vary=functools.partial(_named_alone, unnamed=task.needs & {Kind.DRAWER}),
    )


def _named_alone(
    scene: Scene, names: tuple[str, ...], generator: np.random.Generator, unnamed: frozenset[Kind]
) -> Scene:
    """The scene with the things of these names, and of these kinds, of which there is one at most."""
    things = tuple(thing for thing in scene.things if thing.name in names or thing.kind in unnamed)
    return dataclasses.replace(scene, things=things)


def task_names(tasks: Iterable[str], axes: Iterable[str] = tuple(AXES)) -> list[str]:
    """Unperturbed, then by axis and strength, each of the tasks."""
    tasks = list(tasks)
    cells = [f"{axis}{strength}" for axis in axes for strength in STRENGTHS]
    return [*tasks, *(f"{task}{BASE}{cell}" for cell in cells for task in tasks)]


def cell_of(name: str) -> tuple[str, int] | None:
    """The axis and the strength of a perturbed task's name; None of another's."""
    _, _, cell = name.partition(BASE)
    return (cell[:-1], int(cell[-1])) if cell and cell != ALONE else None
