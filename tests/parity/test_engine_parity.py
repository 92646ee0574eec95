"""Bullet against MuJoCo: where both should agree, they do."""

from __future__ import annotations

import json
from pathlib import Path

import mujoco
import numpy as np
import pytest

from vla.errors import ConfigError
from vla.interfaces import EpisodeSpec
from vla_sim.engine_parity import command
from vla_sim.engine_parity.command import ParityConfig
from vla_sim.engine_parity.measuring import Scored, measure
from vla_sim.environment import TabletopEnvironment
from vla_sim.worlds.engines import Engine, Engines
from vla_sim.worlds.scene import Kind, Scene, Thing
from vla_sim.worlds.world import World

bullet = pytest.importorskip("pybullet")

TASKS = ("push_to_pad", "stack", "open_drawer", "press_button")
BULLET = Engines(Engine.BULLET)


@pytest.fixture(scope="module")
def environments() -> tuple[TabletopEnvironment, TabletopEnvironment]:
    return TabletopEnvironment(), TabletopEnvironment(engines=BULLET)


@pytest.fixture(scope="module")
def scored(environments: tuple[TabletopEnvironment, TabletopEnvironment]) -> dict[str, Scored]:
    return {task: measure(*environments, EpisodeSpec(task, 4_000_000)) for task in TASKS}


@pytest.mark.parametrize("task", TASKS)
def test_experts_succeed_on_both(scored: dict[str, Scored], task: str) -> None:
    assert (scored[task].success, scored[task].other_success) == (True, True)


@pytest.mark.parametrize("task", TASKS)
def test_states_are_judged_alike_and_stay_the_same_numbers(scored: dict[str, Scored], task: str) -> None:
    found = scored[task]
    assert found.num_states > 5
    assert (found.num_agreeing, found.num_equal) == (found.num_states, found.num_states)


@pytest.mark.parametrize("task", TASKS)
def test_the_same_commands_move_the_arm_alike(scored: dict[str, Scored], task: str) -> None:
    assert np.median(scored[task].end_effector_mm) < 3.0
    assert max(scored[task].end_effector_mm) < 10.0


@pytest.mark.parametrize("arm", ["panda", "ur5e", "so101"])
def test_links_are_where_mujoco_has_them(arm: str) -> None:
    world = TabletopEnvironment(arm=arm, engines=BULLET)
    world.reset(EpisodeSpec("stack", 1))
    physics, model, data = world.world._physics, world.world._model, world.world._data  # type: ignore[attr-defined]
    for joint in range(model.njnt):
        if model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_FREE:
            low, high = model.jnt_range[joint]
            data.qpos[model.jnt_qposadr[joint]] = low + 0.37 * (high - low)
    mujoco.mj_forward(model, data)
    physics._load()
    compared = 0
    for body in physics._bodies:
        for link, number in enumerate(body.bodies[1:]):
            centre = bullet.getLinkState(
                body.number, link, computeForwardKinematics=1, physicsClientId=physics._client
            )[0]
            assert centre == pytest.approx(data.xipos[number], abs=1e-9)
            compared += 1
    assert compared >= 8


def test_a_block_slides_as_far_as_its_friction_says() -> None:
    """v² = 2 μ g d, in both engines."""
    lengths = {}
    for engines in (Engines(), BULLET):
        world: World = TabletopEnvironment(engines=engines).world
        world.reset(Scene((Thing(Kind.BLOCK, "red", 0.45, -0.15),), np.array([0.5, 0.2, 0.25, 0.0]), gripper=1.0))
        dof = world._slot("red block").dof  # type: ignore[attr-defined]
        world._data.qvel[dof + 1] = 1.0  # type: ignore[attr-defined]
        before = world.position("red block")[1]
        for _ in range(6):
            world.step(np.array([0, 0, 0, 0, 1], np.float32))
        lengths[engines.physics] = world.position("red block")[1] - before
    assert lengths[Engine.MUJOCO] == pytest.approx(1.0 / (2 * 0.4 * 9.81), rel=0.1)
    assert lengths[Engine.BULLET] == pytest.approx(lengths[Engine.MUJOCO], rel=0.1)


def test_the_command_writes_a_page_and_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(ParityConfig(tasks=["press_button"], episodes=1, out=tmp_path)) == 0
    tree = json.loads((tmp_path / "parity.json").read_text())
    assert tree["tasks"]["press_button"]["experts"]["bullet"]["success"] == 1.0
    assert tree["overall"]["states"]["agreeing"] == tree["overall"]["states"]["n"]
    page = (tmp_path / "parity.html").read_text()
    assert "press button" in page
    assert "<polyline" in page
    assert "press_button" in capsys.readouterr().out


def test_a_suite_of_others_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="suite 'metaworld' has an engine of its own"):
        command.run(ParityConfig(suite="metaworld", out=tmp_path))
