"""The arms, each at a bench of its size: the table that tasks speak of, as large and as far away as the arm reaches.

Tasks speak of one table, the Panda's. A smaller arm has the same table, shrunk about the middle of its base and moved
along x; heights, blocks, bowls, steps and tolerances shrink with it, angles stay. So one task serves every arm.

    x of the bench = scale * x of the table + shift_m       y, z of the bench = scale * y, z of the table
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float32, Float64

from vla.embodiment import Embodiment
from vla.errors import unknown
from vla_sim.embodiments import SO101_SCALE, TABLETOP_PANDA, TABLETOP_SO101, TABLETOP_UR5E
from vla_sim.worlds.scene import LEASH, WORKSPACE_HIGH, WORKSPACE_LOW, Scene


@dataclasses.dataclass(frozen=True)
class Bench:
    """An arm and the table that it works at."""

    arm: str
    """A name of `vla.kinematics.ARMS`."""
    embodiment: Embodiment
    scale: float = 1.0
    """Lengths here over those of the tasks' table."""
    shift_m: float = 0.0
    """How far along x the tasks' origin lies from the arm's base, m."""

    @property
    def is_the_tasks(self) -> bool:
        """Whether this is the table that tasks speak of, lengths and all."""
        return self.scale == 1.0 and self.shift_m == 0.0

    @property
    def workspace_low(self) -> Float64[np.ndarray, " pose"]:
        """The corner of the box that the commanded pose stays in: m, m, m, rad."""
        return self.pose(WORKSPACE_LOW)

    @property
    def workspace_high(self) -> Float64[np.ndarray, " pose"]:
        """The other corner."""
        return self.pose(WORKSPACE_HIGH)

    @property
    def leash(self) -> Float64[np.ndarray, " pose"]:
        """How far the commanded pose may be ahead of the measured one: m, m, m, rad."""
        return LEASH * [self.scale, self.scale, self.scale, 1.0]

    def point(self, table_point: Float64[np.ndarray, " xyz"]) -> Float64[np.ndarray, " xyz"]:
        """Where a point of the tasks' table is, in the base frame."""
        return self.scale * table_point + [self.shift_m, 0.0, 0.0]

    def pose(self, table_pose: Float64[np.ndarray, " pose"]) -> Float64[np.ndarray, " pose"]:
        """The same of x, y, z, yaw."""
        return np.append(self.point(table_pose[:3]), table_pose[3])

    def table_point(self, point: Float64[np.ndarray, " xyz"]) -> Float64[np.ndarray, " xyz"]:
        """Where a point of the base frame is on the tasks' table."""
        return (point - [self.shift_m, 0.0, 0.0]) / self.scale

    def table_pose(self, pose: Float64[np.ndarray, " pose"]) -> Float64[np.ndarray, " pose"]:
        """The same of x, y, z, yaw."""
        return np.append(self.table_point(pose[:3]), pose[3])

    def scene(self, table_scene: Scene) -> Scene:
        """A scene of the tasks' table, as it stands here."""
        things = tuple(
            dataclasses.replace(
                thing, x=self.scale * thing.x + self.shift_m, y=self.scale * thing.y, z=self.scale * thing.z
            )
            for thing in table_scene.things
        )
        return dataclasses.replace(table_scene, things=things, pose=self.pose(table_scene.pose))

    def action(self, table_action: Float32[np.ndarray, " action_dim"]) -> Float32[np.ndarray, " action_dim"]:
        """A step at the tasks' table, as this arm makes it; within its embodiment's limits if that was."""
        steps = table_action * np.array([self.scale] * 3 + [1.0, 1.0], np.float32)
        return np.clip(steps, self.embodiment.action_low, self.embodiment.action_high)

    def table_action(self, action: Float32[np.ndarray, " action_dim"]) -> Float32[np.ndarray, " action_dim"]:
        """A step of this arm in the lengths of the tasks' table."""
        return action / np.array([self.scale] * 3 + [1.0, 1.0], np.float32)


PANDA = Bench("panda", TABLETOP_PANDA)
"""The table that tasks speak of."""
BENCHES: dict[str, Bench] = {
    bench.arm: bench
    for bench in (
        PANDA,
        Bench("ur5e", TABLETOP_UR5E),
        # As near and as large as the gripper, pointing down, reaches every corner of the workspace.
        Bench("so101", TABLETOP_SO101, scale=SO101_SCALE, shift_m=-0.024),
    )
}
"""By arm."""


def bench_of(arm: str) -> Bench:
    """The bench of this arm.

    Raises:
        ConfigError: if there is none.
    """
    if arm not in BENCHES:
        raise unknown("arm", arm, BENCHES)
    return BENCHES[arm]
