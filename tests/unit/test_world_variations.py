"""Variations of a world: each changes what it says, and is gone in the next scene."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vla.errors import ConfigError
from vla_sim.embodiments import TABLETOP_PANDA
from vla_sim.worlds.mujoco_world import MujocoWorld
from vla_sim.worlds.scene import Kind, Scene, Thing
from vla_sim.worlds.sensor import sense
from vla_sim.worlds.variations import (
    PATTERNS,
    CameraShift,
    Light,
    Sensor,
    Shove,
    TableLook,
    Variation,
)

SCENE = Scene(
    (
        Thing(Kind.BLOCK, "red", 0.50, 0.10, 0.3),
        Thing(Kind.BLOCK, "blue", 0.60, -0.10),
        Thing(Kind.PAD, "green", 0.42, -0.12),
    ),
    np.array([0.5, 0.1, 0.03, 0.0]),
    gripper=1.0,
)
LOOKS = {
    "camera": Variation(camera=CameraShift(0.2, 0.1, 1.1, 0.05)),
    "light": Variation(light=Light(0.5, 0.3, 0.7, (1.0, 0.8, 0.9))),
    "colour": Variation(table=TableLook((0.3, 0.4, 0.5))),
    **{pattern: Variation(table=TableLook(None, pattern)) for pattern in PATTERNS},
}
RESISTANCES = {"slippery": Variation(friction=0.3), "sticky": Variation(friction=3.0), "mass": Variation(mass=8.0)}


def varied(variation: Variation) -> Scene:
    return dataclasses.replace(SCENE, variation=variation)


def played(world: MujocoWorld, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """The first picture, and where an arm that pushes and grasps has brought everything."""
    world.reset(scene)
    picture = world.render("scene", 64, 80)
    generator = np.random.default_rng(1)
    for step in range(14):
        action = generator.uniform(TABLETOP_PANDA.action_low, TABLETOP_PANDA.action_high).astype(np.float32)
        action[2], action[4] = -0.02, float(step % 5 < 2)
        world.step(action)
    return picture, world.save()


@pytest.fixture(scope="module")
def usual() -> tuple[np.ndarray, np.ndarray]:
    return played(MujocoWorld(), SCENE)


@pytest.mark.parametrize("variation", LOOKS.values(), ids=LOOKS.keys())
def test_a_look_changes_pictures_and_no_bit_of_the_physics(
    variation: Variation, usual: tuple[np.ndarray, np.ndarray]
) -> None:
    picture, end = played(MujocoWorld(), varied(variation))
    assert not np.array_equal(picture, usual[0])
    assert np.array_equal(end, usual[1])


@pytest.mark.parametrize("variation", RESISTANCES.values(), ids=RESISTANCES.keys())
def test_a_resistance_changes_the_physics_and_not_the_first_picture(
    variation: Variation, usual: tuple[np.ndarray, np.ndarray]
) -> None:
    picture, end = played(MujocoWorld(), varied(variation))
    assert np.array_equal(picture, usual[0])
    assert not np.array_equal(end, usual[1])


@pytest.mark.parametrize(
    "variation", [*LOOKS.values(), *RESISTANCES.values(), Variation(shove=Shove("red block", 2, 1.0, 0.0))]
)
def test_the_next_scene_has_nothing_of_a_variation(variation: Variation, usual: tuple[np.ndarray, np.ndarray]) -> None:
    world = MujocoWorld()
    played(world, varied(variation))
    picture, end = played(world, SCENE)
    assert np.array_equal(picture, usual[0])
    assert np.array_equal(end, usual[1])


def test_other_worlds_have_nothing_of_a_variation(usual: tuple[np.ndarray, np.ndarray]) -> None:
    other = MujocoWorld()
    MujocoWorld().reset(varied(Variation(camera=CameraShift(0.3), light=Light(brightness=0.5), mass=3.0)))
    assert np.array_equal(played(other, SCENE)[0], usual[0])


@pytest.mark.parametrize("step", [0, 3])
def test_a_shove_happens_at_its_step_and_once(step: int) -> None:
    world, still = MujocoWorld(), np.array([0, 0, 0, 0, 1], np.float32)
    world.reset(varied(Variation(shove=Shove("blue block", step, 0.0, 0.5))))
    travelled = []
    for _ in range(step + 8):
        before = world.position("blue block")[1]
        world.step(still)
        travelled.append(world.position("blue block")[1] - before)
    assert np.abs(travelled[:step]).max(initial=0.0) < 1e-4
    assert travelled[step] > 0.02
    assert abs(travelled[-1]) < 1e-3
    assert world.position("red block")[:2] == pytest.approx([0.5, 0.1], abs=1e-3)


def test_a_state_restored_before_a_shove_meets_it_again() -> None:
    world, still = MujocoWorld(), np.array([0, 0, 0, 0, 1], np.float32)
    world.reset(varied(Variation(shove=Shove("blue block", 2, 0.0, 0.5))))
    world.step(still)
    state, ends = world.save(), []
    for _ in range(2):
        world.restore(state)
        for _ in range(3):
            world.step(still)
        ends.append(world.save())
    assert np.array_equal(*ends)
    assert ends[0][-1] == ends[1][-1]
    assert world.position("blue block")[1] > -0.08


@pytest.mark.parametrize(
    ("variation", "message"),
    [
        (Variation(friction=0.0), r"friction of a variation is from 0\.05 to 20, got 0"),
        (Variation(light=Light(brightness=9.0)), r"light\.brightness of a variation is from 0 to 4, got 9"),
        (
            Variation(table=TableLook(None, "dots")),
            r"a table is plain or has one of checks, stripes, spots, got 'dots'",
        ),
    ],
)
def test_a_variation_out_of_range_is_refused(variation: Variation, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MujocoWorld().reset(varied(variation))


def test_the_camera_still_projects_where_it_sees_things() -> None:
    world = MujocoWorld()
    world.reset(varied(Variation(camera=CameraShift(0.3, 0.1, 1.1, 0.1))))
    picture = world.render("scene", 240, 300).astype(float)
    is_blue = (picture[..., 2] > 90) & (picture[..., 0] < 60) & (picture[..., 1] < 100)
    rows, columns = np.nonzero(is_blue)
    assert len(rows) > 50
    seen = [(columns.mean() + 0.5) / 300, (rows.mean() + 0.5) / 240]
    assert world.project("scene", world.position("blue block")) == pytest.approx(seen, abs=0.02)


PICTURE = np.random.default_rng(0).integers(0, 256, (32, 40, 3)).astype(np.uint8)


def test_a_clean_sensor_gives_the_picture_itself() -> None:
    assert sense(PICTURE, Sensor(seed=0), 3, 0) is PICTURE


@pytest.mark.parametrize("sensor", [Sensor(noise=20.0, seed=5), Sensor(blur_px=1.0), Sensor(jpeg_quality=20)])
def test_a_sensor_does_the_same_to_the_same_picture_at_the_same_step(sensor: Sensor) -> None:
    seen = sense(PICTURE, sensor, 3, 0)
    assert seen.shape == PICTURE.shape
    assert seen.dtype == np.uint8
    assert not np.array_equal(seen, PICTURE)
    assert np.array_equal(seen, sense(PICTURE, sensor, 3, 0))


def test_noise_differs_from_step_to_step_and_from_camera_to_camera() -> None:
    sensor = Sensor(noise=20.0, seed=5)
    first, later, other = (sense(PICTURE, sensor, *key) for key in ((0, 0), (1, 0), (0, 1)))
    assert not np.array_equal(first, later)
    assert not np.array_equal(first, other)


def test_compression_keeps_red_red() -> None:
    red = np.zeros((32, 40, 3), np.uint8)
    red[..., 0] = 200
    assert np.abs(sense(red, Sensor(jpeg_quality=50), 0, 0).astype(int) - red).max() < 12
