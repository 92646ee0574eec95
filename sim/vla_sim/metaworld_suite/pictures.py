"""Pictures of Meta-World's tasks, all from one GL context.

    task's model ─► renderer of that task (the last few are kept) ─┐
    task's model ─► ...                                            ├─► one GL context a process
                                                                   ┘

Each task has meshes and textures of its own, which a MuJoCo context holds: there is one for each task that was rendered
lately. Meta-World's `corner2` looks upside down, and from farther away than published results do, which are from where
its `corner4` stands (LeRobot moves the one to the other): ours is that view, upright.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from vla.embodiment import CameraSpec
from vla.errors import ObservationError
from vla_sim.worlds.rendering import Renderer, without_costly_effects

type Image = UInt8[np.ndarray, "height width 3"]

CAMERAS = {"corner2": ("corner4", True), "gripper": ("gripperPOV", False)}
"""Ours by name: Meta-World's, and whether it is upside down."""
_KEPT_RENDERERS = 16


class Photographer:
    """Renderers by task, the least recently used one freed when there are too many."""

    def __init__(self) -> None:
        self._renderers: dict[str, Renderer] = {}

    def picture(self, task: str, environment: Any, camera: CameraSpec) -> Image:
        """What one of our cameras sees in Meta-World's environment of a task."""
        name, is_upside_down = CAMERAS[camera.name]
        model, data = environment.model, environment.data
        image = self._renderer(task, model).render(model, data, model.camera(name).id, camera.height, camera.width)
        return np.ascontiguousarray(image[::-1, ::-1]) if is_upside_down else image

    def _renderer(self, task: str, model: Any) -> Renderer:
        renderer = self._renderers.pop(task, None)
        if renderer is None:
            if len(self._renderers) >= _KEPT_RENDERERS:
                self._renderers.pop(next(iter(self._renderers))).close()
            renderer = Renderer(without_costly_effects(model))
        self._renderers[task] = renderer
        return renderer


def project(environment: Any, camera: CameraSpec, point: Float64[np.ndarray, " xyz"]) -> Float32[np.ndarray, " uv"]:
    """Where one of our cameras sees a point of the world (m): u right, v down, 0..1; NaN where it does not."""
    name, is_upside_down = CAMERAS[camera.name]
    model, data = environment.model, environment.data
    index = model.camera(name).id
    right, up, backward = (point - data.cam_xpos[index]) @ data.cam_xmat[index].reshape(3, 3)
    half = np.tan(np.radians(model.cam_fovy[index]) / 2)
    seen = np.array([right * camera.height / camera.width, -up]) / (-backward * half)
    place = (np.array([0.5, 0.5]) + seen / 2).astype(np.float32)
    place = 1 - place if is_upside_down else place
    is_in_picture = backward < 0 and (place >= 0).all() and (place < 1).all()
    return place if is_in_picture else np.full(2, np.nan, np.float32)


@functools.cache
def shared_photographer() -> Photographer:
    """The photographer of this process."""
    return Photographer()


class LazyImages(Mapping[str, Image]):
    """Images by camera, each rendered when it is first looked at.

    A policy that predicts chunks looks at few of the observations; the others cost nothing.
    """

    def __init__(self, cameras: tuple[CameraSpec, ...], shoot: Callable[[CameraSpec], Image]) -> None:
        """Promise these pictures; `shoot` makes one of the world as it is."""
        self._cameras = {camera.name: camera for camera in cameras}
        self._shoot: Callable[[CameraSpec], Image] | None = shoot
        self._images: dict[str, Image] = {}

    def __getitem__(self, name: str) -> Image:
        """Render, or give what was rendered.

        Raises:
            KeyError: if there is no such camera.
            ObservationError: if the world has moved on since.
        """
        if name not in self._images:
            camera = self._cameras[name]
            if self._shoot is None:
                raise ObservationError(f"camera '{name}' was not looked at before the next step: it is too late now")
            self._images[name] = self._shoot(camera)
        return self._images[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cameras)

    def __len__(self) -> int:
        return len(self._cameras)

    def expire(self) -> None:
        """The world moves on: what was not looked at cannot be any more."""
        self._shoot = None
