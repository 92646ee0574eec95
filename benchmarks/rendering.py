"""Render settings: shadow maps and multisampling cost nearly all of a frame on software GL.

Both sides draw the same scene with the same renderer; only the settings differ. The baseline has MuJoCo's default
shadow map (4096), samples (4) and reflections. A process holds one GL context at a time, so each side has its own.
"""

from __future__ import annotations

import atexit
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import mujoco

from benchmarks.comparison import Comparison
from vla_sim.worlds.tabletop import tabletop_model

FRAMES = 20
SIZES = ((64, 80), (224, 224))


def comparisons() -> list[Comparison]:
    default, fast = _process(), _process()
    return [_comparison(default, fast, height, width) for height, width in SIZES]


def _comparison(default: ProcessPoolExecutor, fast: ProcessPoolExecutor, height: int, width: int) -> Comparison:
    return Comparison(
        claim=f"fast render settings, {height} x {width} px",
        baseline=_drawing(default, height, width, is_fast=False),
        contender=_drawing(fast, height, width, is_fast=True),
        work=FRAMES,
        unit="frames",
        settings={"baseline": {"shadowsize": 4096, "offsamples": 4}, "contender": {"shadowsize": 0, "offsamples": 0}},
        repeats=5,
    )


def _drawing(process: ProcessPoolExecutor, height: int, width: int, *, is_fast: bool) -> Callable[[], object]:
    return lambda: process.submit(_draw, height, width, is_fast).result()


def _process() -> ProcessPoolExecutor:
    process = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    atexit.register(process.shutdown)
    return process


_renderers: dict[tuple[int, int], tuple[mujoco.Renderer, mujoco.MjData]] = {}
"""Of this process, by the picture's size."""


def _draw(height: int, width: int, is_fast: bool) -> None:
    if (height, width) not in _renderers:
        _renderers[height, width] = _make(height, width, is_fast)
    renderer, data = _renderers[height, width]
    for _ in range(FRAMES):
        renderer.update_scene(data, camera="scene")
        renderer.render()


def _make(height: int, width: int, is_fast: bool) -> tuple[mujoco.Renderer, mujoco.MjData]:
    model = tabletop_model()
    model.vis.quality.shadowsize = 0 if is_fast else 4096
    model.vis.quality.offsamples = 0 if is_fast else 4
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer = mujoco.Renderer(model, height, width)
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = not is_fast
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = not is_fast
    return renderer, data
