"""The package `metaworld`, imported on demand, and made to work with the MuJoCo that is installed.

Meta-World 3.1.1 is written for MuJoCo 3.3.0. Since then a constraint has got a twelfth number, and one function of
Meta-World, which writes eleven of them, breaks; ours writes the same eleven and leaves the rest as the model has them.
"""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import Any

import mujoco
import numpy as np

from vla.libraries import require_library

WELD = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0)
"""Anchor (3), relative position (3), relative quaternion wxyz (4), torque scale: as Meta-World has them."""


@functools.cache
def metaworld() -> ModuleType:
    """The package, ready for use.

    Raises:
        ConfigError: naming the extra, if it is not installed.
    """
    package, module = (
        require_library(name, what="suite 'metaworld'", extra="metaworld")
        for name in ("metaworld", "metaworld.sawyer_xyz_env")
    )
    base: Any = module.SawyerMocapBase
    base.reset_mocap_welds = reset_mocap_welds
    return package


def make_environment(task: str) -> Any:
    """Meta-World's own environment for one of our tasks; each seed and reset is another goal, which the state shows."""
    name = f"{task.replace('_', '-')}-v3-goal-observable"
    environment = metaworld().env_dict.ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[name](seed=0)
    environment._freeze_rand_vec = False
    environment.seeded_rand_vec = True
    return environment


def make_expert(task: str) -> Any:
    """Meta-World's scripted expert for one of our tasks: `get_action(state)`."""
    metaworld()
    return importlib.import_module("metaworld.policies").ENV_POLICY_MAP[f"{task.replace('_', '-')}-v3"]()


def reset_mocap_welds(environment: Any) -> None:
    """Weld the hand to the mocap body, in place of the function of this name."""
    model = environment.model
    welds = np.flatnonzero(model.eq_type == mujoco.mjtEq.mjEQ_WELD)
    if model.nmocap > 0:
        model.eq_data[welds, : len(WELD)] = WELD
