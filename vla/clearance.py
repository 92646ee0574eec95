"""How near an arm comes to itself and to things around it, at joint positions that it may never have had.

The shapes are those of the arm's model, the obstacles boxes in the base frame. Neighbours in the chain touch by design,
and pairs of links that are near each other at nearly every posture say nothing: both are left out.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import mujoco
import numpy as np
from jaxtyping import Float64

from vla.errors import ConfigError
from vla.kinematics import ArmKinematics, arm_path

SLOW_M = 0.05
"""Nearer than this is told; what is farther is far."""
_SAMPLES, _ALWAYS = 300, 0.6
_OBSTACLE = "obstacle"


@dataclasses.dataclass(frozen=True)
class Nearness:
    """The two things that come nearest to each other."""

    distance_m: float
    """Between their surfaces, negative where they overlap; infinite where nothing is within reach."""
    between: tuple[str, str] = ("", "")


_FAR = Nearness(math.inf)


class ArmClearance:
    """The distances of one arm; holds scratch memory, so one a thread."""

    def __init__(self, arm: str, obstacles: Sequence[Sequence[float]] = ()) -> None:
        """Build the shapes.

        Args:
            arm: one of `vla.kinematics.ARMS`.
            obstacles: boxes that do not move: x, y, z of the middle, then half of the length along each, m.

        Raises:
            ConfigError: if there is no such arm, or a box is none.
        """
        for box in obstacles:
            if len(box) != 6 or not all(map(math.isfinite, box)) or min(box[3:]) <= 0:
                raise ConfigError(f"an obstacle is x, y, z and half of each length, m, above 0; got {list(box)}")
        excluded = _always_near(arm)
        self._model = _shapes(arm, obstacles, excluded)
        self._data = mujoco.MjData(self._model)
        self._num_joints = len(ArmKinematics(arm).joints)
        bodies = self._model.geom_bodyid
        self._names = [self._model.body(int(body)).name or _OBSTACLE for body in bodies]

    def at(self, positions: Float64[np.ndarray, " joints"]) -> Nearness:
        """What is nearest at these joint positions (rad), the gripper closed."""
        self._data.qpos[: self._num_joints] = positions
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)
        if not self._data.ncon:
            return _FAR
        contacts = self._data.contact
        nearest = int(np.argmin(contacts.dist))
        first, second = contacts.geom[nearest]
        return Nearness(float(contacts.dist[nearest]), (self._names[first], self._names[second]))


def _shapes(arm: str, obstacles: Sequence[Sequence[float]], excluded: Sequence[tuple[str, str]]) -> mujoco.MjModel:
    spec = mujoco.MjSpec.from_file(arm_path(arm))
    for geom in spec.geoms:
        geom.contype = geom.conaffinity = 1
        geom.margin = SLOW_M
    for index, box in enumerate(obstacles):
        body = spec.worldbody.add_body(name=f"{_OBSTACLE} {index + 1}", pos=list(box[:3]))
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=list(box[3:]), margin=SLOW_M)
    for first, second in excluded:
        spec.add_exclude(bodyname1=first, bodyname2=second)
    return spec.compile()


@functools.cache
def _always_near(arm: str) -> tuple[tuple[str, str], ...]:
    """Pairs of links that are near each other wherever the joints are."""
    model = _shapes(arm, (), ())
    data = mujoco.MjData(model)
    kinematics = ArmKinematics(arm)
    generator = np.random.default_rng(0)
    counts: dict[tuple[str, str], int] = {}
    for _ in range(_SAMPLES):
        data.qpos[: len(kinematics.joints)] = generator.uniform(kinematics.position_low, kinematics.position_high)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        pairs = {tuple(sorted(model.geom_bodyid[list(pair)].tolist())) for pair in data.contact.geom}
        for first, second in pairs:
            names = model.body(first).name, model.body(second).name
            counts[names] = counts.get(names, 0) + 1
    return tuple(pair for pair, count in counts.items() if count > _ALWAYS * _SAMPLES)
