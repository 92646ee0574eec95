"""One GL context a process, shared by every world in it.

Shadow maps and multisampling cost nearly all of a frame on software GL; both are off in the model
(`without_costly_effects`), before MuJoCo's context is made. Several GL contexts in one process slow each other down.
"""

from __future__ import annotations

import copy
import functools
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import mujoco
import numpy as np
from jaxtyping import Int32, UInt8

MAX_HEIGHT, MAX_WIDTH = 480, 640
"""The largest picture, px."""
MAX_GEOMS = 300
"""In one picture."""
RENDER_SETTINGS = {"shadow_size": 0, "multisamples": 0, "reflections": False}
"""Part of what a dataset or a report says of its pictures."""

type Draw = Callable[[mujoco.MjModel, mujoco.MjData, int, int, int], UInt8[np.ndarray, "height width 3"]]
"""From a model, its data, the number of a camera, height and width (px) to a picture."""


class Renderer:
    """Pictures of any model that is a copy of the one it was made for."""

    def __init__(self, model: mujoco.MjModel, *, hidden_groups: Sequence[int] = ()) -> None:
        """Draw from this thread alone: it has the GL context.

        Args:
            hidden_groups: of geoms that are not drawn, as collision shapes are in some models.
        """
        self._context, self._thread = _current_context()
        self._require_thread()
        self._context.make_current()
        self._mujoco_context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._mujoco_context)
        self._scene = mujoco.MjvScene(model, maxgeom=MAX_GEOMS)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._option = mujoco.MjvOption()
        self._option.geomgroup[list(hidden_groups)] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED

    def render(
        self, model: mujoco.MjModel, data: mujoco.MjData, camera_id: int, height: int, width: int
    ) -> UInt8[np.ndarray, "height width 3"]:
        """What a camera sees.

        Raises:
            RuntimeError: if called from another thread than the first, which GL cannot do.
            ValueError: if the picture is larger than `MAX_HEIGHT` x `MAX_WIDTH`.
        """
        self._look(model, data, camera_id, height, width)
        return self._draw(height, width)

    def segment(
        self, model: mujoco.MjModel, data: mujoco.MjData, camera_id: int, height: int, width: int
    ) -> Int32[np.ndarray, "height width"]:
        """Which geom a camera sees in each pixel, by its number in the model; -1 where there is none.

        Raises:
            RuntimeError: if called from another thread than the first, which GL cannot do.
            ValueError: if the picture is larger than `MAX_HEIGHT` x `MAX_WIDTH`.
        """
        self._look(model, data, camera_id, height, width)
        flags = self._scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        try:
            red, green, blue = np.moveaxis(self._draw(height, width).astype(np.int32), -1, 0)
        finally:
            flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        geoms = np.full(self._scene.maxgeom + 1, -1, np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                geoms[geom.segid + 1] = geom.objid
        return geoms[red + (green << 8) + (blue << 16)]

    def close(self) -> None:
        """Free what GL holds of the model; the GL context stays."""
        self._context.make_current()
        self._mujoco_context.free()

    def _look(self, model: mujoco.MjModel, data: mujoco.MjData, camera_id: int, height: int, width: int) -> None:
        self._require_thread()
        if height > MAX_HEIGHT or width > MAX_WIDTH:
            raise ValueError(f"a picture is at most {MAX_HEIGHT} x {MAX_WIDTH} px, got {height} x {width}")
        self._camera.fixedcamid = camera_id
        category = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(model, data, self._option, None, self._camera, category, self._scene)

    def _require_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError("the renderer belongs to the thread that rendered first: render from that thread")

    def _draw(self, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        viewport = mujoco.MjrRect(0, 0, width, height)
        # Others draw in this process too, such as an environment of Gymnasium, and leave their own context current.
        self._context.make_current()
        # Another model's renderer may have drawn in between.
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._mujoco_context)
        mujoco.mjr_render(viewport, self._scene, self._mujoco_context)
        pixels = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_readPixels(pixels, None, viewport, self._mujoco_context)
        # GL's first row is the bottom one.
        return np.ascontiguousarray(pixels[::-1])


def without_costly_effects(model: mujoco.MjModel) -> mujoco.MjModel:
    """A copy without shadow map and multisampling: what to make a renderer with."""
    plain = copy.copy(model)
    plain.vis.quality.shadowsize = plain.vis.quality.offsamples = 0
    return plain


@functools.cache
def _current_context() -> tuple[Any, int]:
    """The GL context of this process, and the thread that asked first: it is current there, for good."""
    # Software GL (llvmpipe) draws small pictures a quarter faster without threads of its own.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    context = _gl_context()(MAX_WIDTH, MAX_HEIGHT)
    context.make_current()
    return context, threading.get_ident()


def _gl_context() -> Any:
    """The GL back end: what MUJOCO_GL names, else EGL, which needs no display."""
    if os.environ.get("MUJOCO_GL", "egl") == "egl":
        from mujoco.egl import GLContext

        return GLContext
    return mujoco.GLContext


@functools.cache
def shared_renderer(model: mujoco.MjModel) -> Renderer:
    """The renderer of this model in this process; `model` is the compiled model that every world here copies."""
    return Renderer(model)
