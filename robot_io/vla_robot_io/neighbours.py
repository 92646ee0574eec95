"""How far the arms of one bench are from each other in motion: their whole shapes, where they are and where they go.

    this arm   links ─► balls, on the bench ─► DIR/NAME.shape ─► read by the loops of the others
    a step     tell where it goes ─► is another's shape nearer than the separation there? ─► HOLD, tell that it stays

Who comes nearer is held; a step that leads away is free, so there is a way back. Each loop tells where it goes before
it looks where the others go: of two that move towards each other at once, one at least sees the other. Told is every
control step, so a separation has to hold what both move in one. Only living loops count: an arm whose loop has ended
is told by nobody. Nothing here is safety-rated.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import mujoco
import numpy as np
from jaxtyping import Float64

from vla.errors import ConfigError
from vla.kinematics import ArmKinematics
from vla_robot_io.reasons import Code, Reason

ENDING = ".shape"
SPACING_M = 0.06
"""Of the balls along a link: between two of them a link is at most 1 cm thicker than it is."""
_MAX_BYTES = 1 << 16
_WAY_BACK_M = 1e-4

Balls = Float64[np.ndarray, "_ 4"]
"""x, y, z of the middle on the bench, and the radius, m."""


class ArmBalls:
    """The links of one arm as balls that hold them; it has scratch memory, so one a thread."""

    def __init__(self, arm: str, base_m: Iterable[float], base_yaw_rad: float) -> None:
        """Load its shapes.

        Args:
            arm: one of `vla.kinematics.ARMS`, or a file of another.
            base_m: where its base stands on the bench.
            base_yaw_rad: how it is turned there, counter-clockwise from above.

        Raises:
            ConfigError: if there is no such arm.
        """
        kinematics = ArmKinematics(arm)
        self._model, self._num_joints = kinematics.model, len(kinematics.joints)
        self._data = mujoco.MjData(self._model)
        cos, sin = math.cos(base_yaw_rad), math.sin(base_yaw_rad)
        self._turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        self._base = np.array(list(base_m))
        parts = [_balls_along(self._model, geom) for geom in range(self._model.ngeom)]
        self._geoms = np.concatenate([np.full(len(part), geom) for geom, part in enumerate(parts)])
        self._local = np.concatenate(parts)

    def at(self, positions: Float64[np.ndarray, " joints"]) -> Balls:
        """Where they are at these joint positions, rad."""
        self._data.qpos[: self._num_joints] = positions
        mujoco.mj_kinematics(self._model, self._data)
        turns = self._data.geom_xmat.reshape(-1, 3, 3)[self._geoms]
        middles = self._data.geom_xpos[self._geoms] + np.einsum("bij,bj->bi", turns, self._local[:, :3])
        return np.column_stack([middles @ self._turn.T + self._base, self._local[:, 3]])


class Neighbours:
    """One arm among the others of its bench."""

    def __init__(self, folder: Path, name: str, balls: ArmBalls, separation_m: float) -> None:
        """Nothing is told yet.

        Args:
            folder: of the bench.
            name: of this arm there.
            balls: its own.
            separation_m: how far the others stay away.
        """
        self._folder, self._name, self._balls, self._separation_m = folder, name, balls, separation_m

    def stay(self, *postures: Float64[np.ndarray, " joints"]) -> None:
        """Tell the others that this arm is in these postures, or between them."""
        self._tell(np.concatenate([self._balls.at(posture) for posture in postures]))

    def objection(
        self,
        here: Float64[np.ndarray, " joints"],
        there: Float64[np.ndarray, " joints"],
        living: Callable[[], Iterable[str]],
    ) -> Reason | None:
        """Why this arm must not go there; None if it may, of which the others are told.

        Args:
            here: where its joints are, rad.
            there: where they would be after this control step, rad.
            living: the names of the other arms whose loops live.

        Raises:
            ConfigError: if the shape of one of them cannot be read.
        """
        now, then = self._balls.at(here), self._balls.at(there)
        self._tell(np.concatenate([now, then]))
        for other in living():
            shape = self._read(other)
            if shape is None:
                continue
            apart_m = distance_m(then, shape)
            if apart_m < self._separation_m and apart_m < distance_m(now, shape) + _WAY_BACK_M:
                self._tell(now)
                text = f"'{self._name}' would come {apart_m:.3f} m near '{other}', under {self._separation_m:g} m: held"
                return Reason(Code.NEIGHBOUR, other, apart_m, self._separation_m, text)
        return None

    def leave(self) -> None:
        """Tell nothing any more."""
        self._path(self._name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{ENDING}"

    def _tell(self, balls: Balls) -> None:
        path = self._path(self._name)
        new = path.with_suffix(".new")
        new.write_bytes(balls.astype("<f8").tobytes())
        os.replace(new, path)

    def _read(self, name: str) -> Balls | None:
        """The shape of another; None where it tells none, as an arm whose model nobody knows."""
        try:
            with open(self._path(name), "rb") as opened:
                content = opened.read(_MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"{self._path(name)} cannot be read: {error}") from error
        shape = np.frombuffer(content[: len(content) // 32 * 32], "<f8").reshape(-1, 4)
        if len(content) % 32 or not len(shape) or not np.isfinite(shape).all():
            raise ConfigError(f"{self._path(name)} holds no shape of an arm: end the run that tells it")
        return shape.astype(np.float64)


def distance_m(mine: Balls, other: Balls) -> float:
    """Between the surfaces of the two that are nearest to each other; negative where they overlap."""
    gaps = np.linalg.norm(mine[:, None, :3] - other[None, :, :3], axis=2) - mine[:, None, 3] - other[None, :, 3]
    return float(gaps.min())


def _balls_along(model: mujoco.MjModel, geom: int) -> Balls:
    """Balls along the longest axis of a shape that hold all of it, in its own frame."""
    size = model.geom_size[geom]
    match int(model.geom_type[geom]):
        case mujoco.mjtGeom.mjGEOM_SPHERE:
            half, thick, axis = 0.0, float(size[0]), 2
        case mujoco.mjtGeom.mjGEOM_CAPSULE | mujoco.mjtGeom.mjGEOM_CYLINDER:
            half, thick, axis = float(size[1]), float(size[0]), 2
        case mujoco.mjtGeom.mjGEOM_BOX:
            axis = int(np.argmax(size))
            half, thick = float(size[axis]), float(np.linalg.norm(np.delete(size, axis)))
        case _:
            return np.array([[0.0, 0.0, 0.0, float(model.geom_rbound[geom])]])
    number = 1 + math.ceil(2 * half / SPACING_M)
    balls = np.zeros((number, 4))
    balls[:, axis] = np.linspace(-half, half, number) if number > 1 else 0.0
    balls[:, 3] = math.hypot(thick, half / max(number - 1, 1))
    return balls
