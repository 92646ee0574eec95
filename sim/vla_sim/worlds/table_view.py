"""A world as tasks see it: in the lengths of the table that they speak of, whatever the arm's bench measures.

    task ──► table lengths ──► `TableView` ──► bench lengths ──► world, pictures, policies, stores

Policies, observations and stores never pass through here: they are in the metres of the arm.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from vla.embodiment import Embodiment
from vla_sim.worlds.benches import Bench
from vla_sim.worlds.scene import Scene
from vla_sim.worlds.world import World


def table_view(world: World) -> World:
    """The world that tasks are given: this one itself, where its bench is the tasks' table."""
    return world if world.bench.is_the_tasks else TableView(world)


class TableView:
    """A world whose lengths are those of the tasks' table; `vla_sim.worlds.world.World` says what each method is."""

    def __init__(self, world: World) -> None:
        """Look at this world."""
        self._world = world
        self._bench = world.bench

    @property
    def embodiment(self) -> Embodiment:
        """Of the arm, in the arm's own lengths."""
        return self._world.embodiment

    @property
    def bench(self) -> Bench:
        return self._bench

    def reset(self, scene: Scene) -> None:
        self._world.reset(self._bench.scene(scene))

    def step(self, action: Float32[np.ndarray, " action_dim"]) -> Float32[np.ndarray, " action_dim"]:
        return self._bench.table_action(self._world.step(self._bench.action(action)))

    def save(self) -> Float64[np.ndarray, " numbers"]:
        return self._world.save()

    def restore(self, state: Float64[np.ndarray, " numbers"]) -> None:
        self._world.restore(state)

    def time_s(self) -> float:
        return self._world.time_s()

    def end_effector(self) -> Float64[np.ndarray, " pose"]:
        return self._bench.table_pose(self._world.end_effector())

    def commanded(self) -> Float64[np.ndarray, " pose"]:
        return self._bench.table_pose(self._world.commanded())

    def end_effector_speed(self) -> float:
        return self._world.end_effector_speed() / self._bench.scale

    def opening_m(self) -> float:
        return self._world.opening_m() / self._bench.scale

    def proprioception(self) -> Float32[np.ndarray, " state_dim"]:
        """As the arm measures it, in its own lengths."""
        return self._world.proprioception()

    def position(self, name: str) -> Float64[np.ndarray, " xyz"]:
        return self._bench.table_point(self._world.position(name))

    def yaw(self, name: str) -> float:
        return self._world.yaw(name)

    def speed(self, name: str) -> float:
        return self._world.speed(name) / self._bench.scale

    def is_touched(self, name: str) -> bool:
        return self._world.is_touched(name)

    def displacement(self, name: str) -> float:
        return self._world.displacement(name) / self._bench.scale

    def render(self, camera: str, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        return self._world.render(camera, height, width)

    def project(self, camera: str, point: Float64[np.ndarray, " xyz"]) -> Float64[np.ndarray, " uv"]:
        return self._world.project(camera, self._bench.point(point))
