"""What every world promises to tasks and to whoever repeats an episode, whichever engine moves it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vla.errors import ActionError, ConfigError
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.worlds.engines import Engine, Engines, make_world
from vla_sim.worlds.scene import (
    BLOCK_SIZE_M,
    COLOURS,
    LEASH,
    WORKSPACE_HIGH,
    WORKSPACE_LOW,
    Kind,
    Scene,
    Thing,
)
from vla_sim.worlds.world import World

THINGS = (
    Thing(Kind.BLOCK, "red", 0.50, 0.10, 0.3),
    Thing(Kind.BLOCK, "blue", 0.60, -0.10),
    Thing(Kind.PAD, "green", 0.42, -0.12),
    Thing(Kind.BOWL, "yellow", 0.62, 0.15),
    Thing(Kind.BUTTON, "purple", 0.40, 0.16),
)
SCENE = Scene(THINGS, np.array([0.5, 0.0, 0.15, 0.0]), gripper=1.0)
DRAWER_SCENE = Scene((Thing(Kind.DRAWER, "", 0.31, 0.0),), np.array([0.5, 0.0, 0.15, 0.0]), gripper=1.0)

type MakeWorld = Callable[[], World]


@pytest.fixture(params=list(Engine), ids=lambda engine: engine.value)
def new_world(request: pytest.FixtureRequest) -> MakeWorld:
    if request.param is Engine.BULLET:
        pytest.importorskip("pybullet")
    return lambda: make_world(engines=Engines(physics=request.param))


@pytest.fixture
def world(new_world: MakeWorld) -> World:
    world = new_world()
    world.reset(SCENE)
    return world


def _act(world: World, seed: int, steps: int = 12) -> None:
    generator = np.random.default_rng(seed)
    low, high = TABLETOP_PANDA.action_low, TABLETOP_PANDA.action_high
    for _ in range(steps):
        world.step(generator.uniform(low, high).astype(np.float32))


def test_it_is_a_world(world: World) -> None:
    assert isinstance(world, World)


def test_things_stand_where_the_scene_puts_them(world: World) -> None:
    for thing in THINGS:
        assert world.position(thing.name)[:2] == pytest.approx([thing.x, thing.y], abs=1e-3)
    assert world.position("red block")[2] == pytest.approx(BLOCK_SIZE_M / 2, abs=1e-3)
    assert world.yaw("red block") == pytest.approx(0.3, abs=1e-3)


def test_the_arm_starts_where_the_scene_says(world: World) -> None:
    assert world.end_effector() == pytest.approx(SCENE.pose, abs=1e-3)
    assert world.opening_m() == pytest.approx(0.08, abs=1e-3)


def test_an_action_moves_the_arm_by_as_much(world: World) -> None:
    before = world.end_effector()
    action = np.array([0.02, -0.03, -0.02, 0.1, 0.0], np.float32)
    applied = world.step(action)
    world.step(np.zeros(5, np.float32))
    assert np.array_equal(applied, action)
    assert world.end_effector() - before == pytest.approx(action[:4], abs=3e-3)
    assert world.opening_m() < 0.003


def test_the_arm_follows_its_command_closely(world: World) -> None:
    generator, lags = np.random.default_rng(0), []
    for _ in range(40):
        world.step(np.array([*generator.uniform(-0.03, 0.03, 2), generator.uniform(-0.01, 0.02), 0, 1], np.float32))
        lags.append(np.abs(world.end_effector() - world.commanded())[:3].max())
    assert np.median(lags) < 0.002


def test_the_command_stays_in_the_workspace_and_what_was_applied_says_so(world: World) -> None:
    up = np.array([0, 0, 0.04, 0, 1], np.float32)
    applied = [world.step(up) for _ in range(8)]
    assert world.commanded()[2] == pytest.approx(WORKSPACE_HIGH[2])
    assert sum(a[2] for a in applied) == pytest.approx(WORKSPACE_HIGH[2] - SCENE.pose[2], abs=1e-6)
    assert (world.commanded() >= WORKSPACE_LOW).all()


def test_an_action_beyond_the_embodiment_is_clipped(world: World) -> None:
    applied = world.step(np.array([0, 0, -1, 0, 7], np.float32))
    assert applied == pytest.approx([0, 0, -0.04, 0, 1])


def test_a_command_does_not_run_away_from_a_blocked_arm(new_world: MakeWorld) -> None:
    world = new_world()
    world.reset(Scene(DRAWER_SCENE.things, np.array([0.42, 0.0, 0.06, 0.0]), gripper=0.0))
    for _ in range(10):
        world.step(np.array([-0.04, 0, 0, 0, 0], np.float32))
    assert (np.abs(world.commanded() - world.end_effector()) <= LEASH + 0.01).all()


@pytest.mark.parametrize("action", [np.zeros(4, np.float32), np.full(5, np.nan, np.float32)])
def test_an_action_that_is_none_is_refused(world: World, action: np.ndarray) -> None:
    with pytest.raises(ActionError, match="expected 5 finite numbers"):
        world.step(action)


def test_a_restored_state_goes_on_bit_by_bit(world: World) -> None:
    _act(world, seed=1)
    state, picture = world.save(), world.render("scene", 64, 80)
    _act(world, seed=2)
    end = world.save()
    world.restore(state)
    assert np.array_equal(world.save(), state)
    assert np.array_equal(world.render("scene", 64, 80), picture)
    _act(world, seed=2)
    assert np.array_equal(world.save(), end)


def test_the_same_actions_give_the_same_bits_whatever_another_world_does(world: World, new_world: MakeWorld) -> None:
    _act(world, seed=3)
    alone, picture = world.save(), world.render("wrist", 32, 40)
    again, other = new_world(), new_world()
    again.reset(SCENE)
    other.reset(DRAWER_SCENE)
    generator = np.random.default_rng(3)
    for step in range(12):
        again.step(generator.uniform(TABLETOP_PANDA.action_low, TABLETOP_PANDA.action_high).astype(np.float32))
        _act(other, seed=step, steps=1)
        other.render("scene", 64, 80)
    assert np.array_equal(again.save(), alone)
    assert np.array_equal(again.render("wrist", 32, 40), picture)


def test_a_reset_leaves_nothing_of_the_scene_before(new_world: MakeWorld) -> None:
    fresh, used = new_world(), new_world()
    used.reset(DRAWER_SCENE)
    _act(used, seed=4)
    for world in (fresh, used):
        world.reset(SCENE)
    assert np.array_equal(fresh.save(), used.save())
    assert np.array_equal(fresh.render("scene", 64, 80), used.render("scene", 64, 80))


@pytest.mark.parametrize("name", ["red block", "blue block"])
def test_projection_meets_the_pixels_of_a_block(world: World, name: str) -> None:
    picture = world.render("scene", 240, 300).astype(float)
    colour = np.array(COLOURS[name.split()[0]])
    likeness = picture @ colour / (np.linalg.norm(picture, axis=2) * np.linalg.norm(colour) + 1e-9)
    rows, columns = np.nonzero((likeness > 0.97) & (picture.max(axis=2) > 60))
    seen = [(columns.mean() + 0.5) / 300, (rows.mean() + 0.5) / 240]
    assert world.project("scene", world.position(name)) == pytest.approx(seen, abs=0.015)


def test_a_point_that_is_nowhere_projects_nowhere(world: World) -> None:
    assert np.isnan(world.project("scene", np.full(3, np.nan))).all()


def test_the_fingers_hold_a_block_when_lifted(new_world: MakeWorld) -> None:
    world = new_world()
    world.reset(Scene((Thing(Kind.BLOCK, "red", 0.5, 0.0),), np.array([0.5, 0.0, 0.022, 0.0]), gripper=1.0))
    assert not world.is_touched("red block")
    for height in (0, 0, 0.04, 0.04, 0.02):
        world.step(np.array([0, 0, height, 0, 0], np.float32))
    assert world.is_touched("red block")
    assert world.position("red block")[2] > 0.1


def test_a_fast_push_does_not_tip_a_block(new_world: MakeWorld) -> None:
    world = new_world()
    world.reset(Scene((Thing(Kind.BLOCK, "red", 0.5, 0.0),), np.array([0.5, -0.08, 0.03, 0.0]), gripper=0.0))
    for _ in range(5):
        world.step(np.array([0, 0.035, 0, 0, 0], np.float32))
    assert world.position("red block")[1] > 0.08
    assert world.position("red block")[2] == pytest.approx(BLOCK_SIZE_M / 2, abs=2e-3)


def test_a_button_springs_back(new_world: MakeWorld) -> None:
    world = new_world()
    world.reset(Scene((Thing(Kind.BUTTON, "red", 0.5, 0.0),), np.array([0.5, 0.0, 0.06, 0.0]), gripper=0.0))
    for _ in range(2):
        world.step(np.array([0, 0, -0.02, 0, 0], np.float32))
    pressed = world.displacement("red button")
    for _ in range(3):
        world.step(np.array([0, 0, 0.04, 0, 0], np.float32))
    assert pressed > 0.01
    assert world.displacement("red button") < 0.001


def test_unknown_names_are_refused_with_the_nearest(world: World) -> None:
    with pytest.raises(ConfigError, match=r"unknown thing 'red blok'; did you mean 'red block'\?"):
        world.position("red blok")
    with pytest.raises(ConfigError, match=r"unknown camera 'wrst'; did you mean 'wrist'\?"):
        world.render("wrst", 32, 40)
