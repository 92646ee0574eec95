"""The tabletop on MuJoCo: what is its own; what every world promises is in the contract."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from vla_sim.worlds.mujoco_world import MujocoWorld
from vla_sim.worlds.physics import num_substeps
from vla_sim.worlds.scene import Kind, Scene, Thing

SCENE = Scene((Thing(Kind.BLOCK, "red", 0.50, 0.10),), np.array([0.5, 0.0, 0.15, 0.0]), gripper=1.0)


@pytest.fixture
def world() -> MujocoWorld:
    world = MujocoWorld()
    world.reset(SCENE)
    return world


def test_a_physics_step_that_does_not_divide_the_control_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"control at 30 Hz needs a physics step that divides 0\.03333 s"):
        num_substeps(30.0, 0.005)
    assert num_substeps(10.0, 0.005) == 20


def test_a_picture_from_another_thread_is_refused(world: MujocoWorld) -> None:
    world.render("scene", 64, 80)
    assert _raised_in_a_thread(lambda: world.render("scene", 64, 80)) == [
        "the renderer belongs to the thread that rendered first: render from that thread"
    ]


def _raised_in_a_thread(body: Callable[[], object]) -> list[str]:
    messages: list[str] = []

    def run() -> None:
        try:
            body()
        except RuntimeError as error:
            messages.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return messages


def test_a_picture_that_is_too_large_is_refused(world: MujocoWorld) -> None:
    with pytest.raises(ValueError, match="a picture is at most 480 x 640 px, got 481 x 640"):
        world.render("scene", 481, 640)
