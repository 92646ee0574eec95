"""The world as tasks see it; each physics engine implements it once."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from vla.embodiment import Embodiment
from vla_sim.worlds.benches import Bench
from vla_sim.worlds.scene import Scene


@runtime_checkable
class World(Protocol):
    """A table, an arm and things, which go by the names of `Thing.name`.

    Everything is in the arm's base frame: m, rad, s. The same scene and actions give the same bits.
    """

    @property
    def embodiment(self) -> Embodiment: ...

    @property
    def bench(self) -> Bench:
        """The arm, and how its table compares with the one that tasks speak of."""
        ...

    def reset(self, scene: Scene) -> None: ...

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Float32[np.ndarray, " action_dim"]:
        """Act for one control step; gives back what was really applied."""
        ...

    def save(self) -> Float64[np.ndarray, " numbers"]:
        """All that the future depends on, besides the scene."""
        ...

    def restore(self, state: Float64[np.ndarray, " numbers"]) -> None:
        """Return to a state that was saved in this scene."""
        ...

    def time_s(self) -> float: ...

    def end_effector(self) -> Float64[np.ndarray, " pose"]:
        """Measured pose of the tool centre point: x, y, z, yaw."""
        ...

    def commanded(self) -> Float64[np.ndarray, " pose"]:
        """The pose that was last commanded: actions add to it."""
        ...

    def end_effector_speed(self) -> float:
        """Of the tool centre point: m/s."""
        ...

    def opening_m(self) -> float:
        """Measured, between the fingers."""
        ...

    def proprioception(self) -> Float32[np.ndarray, " state_dim"]: ...

    def position(self, name: str) -> Float64[np.ndarray, " xyz"]:
        """The middle of a block; the middle of a pad's or bowl's floor; the top of a button; the drawer's handle."""
        ...

    def yaw(self, name: str) -> float: ...

    def speed(self, name: str) -> float:
        """Of a block: m/s."""
        ...

    def is_touched(self, name: str) -> bool:
        """Whether the gripper touches a block."""
        ...

    def displacement(self, name: str) -> float:
        """How far a drawer is open, or a button pressed: m."""
        ...

    def render(self, camera: str, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]: ...

    def project(self, camera: str, point: Float64[np.ndarray, " xyz"]) -> Float64[np.ndarray, " uv"]:
        """Where a camera sees a point: u right, v down, 0..1 across the picture."""
        ...
