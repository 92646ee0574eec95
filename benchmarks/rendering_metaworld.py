"""Pictures of Meta-World: Gymnasium's renderer as Meta-World uses it, against ours, at 224 x 224 px.

The same tasks, seeds, view and size; the baseline has Meta-World's defaults: a shadow map of 4096, 4 samples and
reflections. Needs the extra `metaworld`. A process holds one GL context, so each side has its own.
"""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from benchmarks.comparison import Comparison
from vla.interfaces import EpisodeSpec
from vla_sim.metaworld_suite import METAWORLD_SAWYER
from vla_sim.metaworld_suite.environment import MetaWorldEnvironment
from vla_sim.metaworld_suite.library import metaworld

TASKS = ("reach", "hammer", "door_open")
FRAMES = 10
"""Of each task."""
_CAMERA = METAWORLD_SAWYER.cameras[0]


def comparisons() -> list[Comparison]:
    metaworld()
    theirs, ours = _process(), _process()
    size = f"{_CAMERA.height} x {_CAMERA.width} px"
    rendering = Comparison(
        claim=f"Meta-World's pictures, {size}, renderer alone",
        baseline=_in(theirs, _draw_theirs),
        contender=_in(ours, _draw_ours),
        work=FRAMES * len(TASKS),
        unit="frames",
        settings={
            "tasks": TASKS,
            "baseline": {"shadowsize": 4096, "offsamples": 4},
            "contender": {"shadowsize": 0, "offsamples": 0},
        },
        repeats=5,
    )
    stepping = Comparison(
        claim=f"Meta-World's steps with a picture each, {size}",
        baseline=_in(theirs, _step_theirs),
        contender=_in(ours, _step_ours),
        work=FRAMES * len(TASKS),
        unit="steps",
        settings=rendering.settings,
        repeats=5,
    )
    return [rendering, stepping]


def _process() -> ProcessPoolExecutor:
    os.environ.setdefault("MUJOCO_GL", "egl")
    process = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    atexit.register(process.shutdown)
    return process


def _in(process: ProcessPoolExecutor, draw: Callable[[], None]) -> Callable[[], object]:
    return lambda: process.submit(draw).result()


def _draw_theirs() -> None:
    for task in TASKS:
        for _ in range(FRAMES):
            _theirs(task).render()


def _step_theirs() -> None:
    for task in TASKS:
        environment = _theirs(task)
        environment.reset()
        for _ in range(FRAMES):
            environment.step(np.zeros(4, np.float32))
            environment.render()


def _draw_ours() -> None:
    for task in TASKS:
        for _ in range(FRAMES):
            _ours(task).render(_CAMERA.height, _CAMERA.width)


def _step_ours() -> None:
    for task in TASKS:
        environment = _ours(task)
        environment.reset(EpisodeSpec(task, 0))
        for _ in range(FRAMES):
            environment.step(np.zeros(4, np.float32))


@functools.cache
def _theirs(task: str) -> Any:
    """Meta-World's own environment, which renders by Gymnasium."""
    classes = metaworld().env_dict.ALL_V3_ENVIRONMENTS
    environment = classes[f"{task.replace('_', '-')}-v3"](
        render_mode="rgb_array", camera_name="corner4", width=_CAMERA.width, height=_CAMERA.height
    )
    environment._set_task_called, environment._freeze_rand_vec, environment.seeded_rand_vec = True, False, True
    environment.seed(0)
    environment.reset()
    return environment


@functools.cache
def _ours(task: str) -> MetaWorldEnvironment:
    environment = MetaWorldEnvironment(METAWORLD_SAWYER)
    environment.reset(EpisodeSpec(task, 0))
    return environment
