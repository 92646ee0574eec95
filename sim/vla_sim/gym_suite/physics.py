"""The MuJoCo inside an environment of others: its clock, and its pictures without costly effects."""

from __future__ import annotations

import os
from typing import Any

import mujoco
import numpy as np
from jaxtyping import UInt8

from vla.errors import ConfigError
from vla_sim.gym_suite.mapping import Physics
from vla_sim.worlds.rendering import Renderer, without_costly_effects

_DIVERGED = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)
_COLLISION_GROUP = 0
"""Of geoms that robosuite keeps out of its pictures."""


def model_and_data(inner: Any, physics: Physics) -> tuple[mujoco.MjModel, mujoco.MjData]:
    """What the simulator computes with.

    Raises:
        ConfigError: if it is not where the mapping says.
    """
    raw = inner.unwrapped
    try:
        match physics:
            case Physics.DM_CONTROL:
                return raw._env.physics.model.ptr, raw._env.physics.data.ptr
            case Physics.ROBOSUITE:
                return raw.sim.model._model, raw.sim.data._data
            case _:
                return raw.model, raw.data
    except AttributeError as error:
        raise ConfigError(f"physics: {physics.value} does not fit {type(raw).__name__}: {error}") from None


def render_plainly(inner: Any, physics: Physics) -> None:
    """Leave out shadow map and multisampling; to be called before the first picture."""
    if physics is Physics.NONE:
        return
    os.environ.setdefault("LP_NUM_THREADS", "0")
    quality = model_and_data(inner, physics)[0].vis.quality
    quality.shadowsize = quality.offsamples = 0


def divergences(inner: Any, physics: Physics) -> int:
    """How often MuJoCo found a state that is not finite, or far too large, and began anew from its first one."""
    if physics is Physics.NONE:
        return 0
    warnings = model_and_data(inner, physics)[1].warning
    return sum(int(warnings[kind].number) for kind in _DIVERGED)


class Draughtsman:
    """Draws what cameras of one environment's model see, with our renderer; a new model gets a new one."""

    def __init__(self, physics: Physics) -> None:
        self._physics = physics
        self._model: mujoco.MjModel | None = None
        self._renderer: Renderer | None = None

    def draw(self, inner: Any, name: str, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        """The view of the model's camera of this name.

        Raises:
            ConfigError: naming the cameras that there are.
        """
        model, data = model_and_data(inner, self._physics)
        names = [model.camera(index).name for index in range(model.ncam)]
        if name not in names:
            raise ConfigError(f"there is no camera '{name}' in the model; cameras: {', '.join(names) or 'none'}")
        return self._renderer_of(model).render(model, data, names.index(name), height, width)

    def close(self) -> None:
        """Free what GL holds."""
        if self._renderer is not None:
            self._renderer.close()
        self._renderer = self._model = None

    def _renderer_of(self, model: mujoco.MjModel) -> Renderer:
        if self._renderer is None or self._model is not model:
            self.close()
            hidden = (_COLLISION_GROUP,) if self._physics is Physics.ROBOSUITE else ()
            self._renderer, self._model = Renderer(without_costly_effects(model), hidden_groups=hidden), model
        return self._renderer
