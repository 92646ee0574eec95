"""The axes along which a scene is perturbed, each in three strengths; as in LIBERO-Plus (arXiv:2510.13626), ours.

    scene, what the task names, generator, strength ─► the same scene, otherwise in this one respect

What is drawn does not depend on the strength, so that at one seed a stronger perturbation is the same one, farther.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float64

from vla_sim.perturbations.placing import crowd, shifted
from vla_sim.perturbations.shoving import draw_shove
from vla_sim.worlds.scene import WORKSPACE_HIGH, WORKSPACE_LOW, Scene
from vla_sim.worlds.variations import PATTERNS, CameraShift, Light, Sensor, TableLook, Variation

type Names = tuple[str, ...]
type Axis = Callable[[Scene, Names, np.random.Generator, int], Scene]

STRENGTHS = (1, 2, 3)


def _graded(first: float, second: float, third: float) -> Mapping[int, float]:
    return dict(zip(STRENGTHS, (first, second, third), strict=True))


AZIMUTH_RAD, ELEVATION_RAD = _graded(0.1, 0.2, 0.4), _graded(0.05, 0.1, 0.2)
DISTANCE, ROLL_RAD = _graded(0.04, 0.08, 0.16), _graded(0.02, 0.05, 0.1)
BRIGHTNESS, TINT, LAMP_RAD = _graded(1.2, 1.45, 1.9), _graded(0.1, 0.2, 0.4), _graded(0.2, 0.4, 0.8)
TABLE_TONE = _graded(0.12, 0.25, 0.45)
NOISE, BLUR_PX = _graded(8.0, 20.0, 45.0), _graded(0.6, 1.0, 1.8)
JPEG_QUALITY = {1: 40, 2: 18, 3: 6}
START_M, START_RAD = _graded(0.03, 0.06, 0.10), _graded(0.1, 0.25, 0.5)
LAYOUT_M, LAYOUT_RAD = _graded(0.02, 0.04, 0.06), _graded(0.25, 0.45, 0.7)
DISTRACTORS = {1: 1, 2: 2, 3: 4}
FRICTION, MASS = _graded(1.3, 1.7, 2.2), _graded(2.0, 4.0, 8.0)


def camera(scene: Scene, names: Names, generator: np.random.Generator, strength: int) -> Scene:
    """The scene camera stands elsewhere, a little rolled; the wrist camera stays."""
    turn, rise, away, roll = _signs(generator, 4) * generator.uniform(0.6, 1.0, 4)
    shift = CameraShift(
        float(turn * AZIMUTH_RAD[strength]),
        float(rise * ELEVATION_RAD[strength]),
        float(1.0 + away * DISTANCE[strength]),
        float(roll * ROLL_RAD[strength]),
    )
    return _varied(scene, Variation(camera=shift))


def light(scene: Scene, names: Names, generator: np.random.Generator, strength: int) -> Scene:
    """Brighter or darker, tinted, from elsewhere."""
    turn, lean, bright = _signs(generator, 3) * generator.uniform(0.6, 1.0, 3)
    red, green, blue = 1.0 - TINT[strength] * generator.uniform(0.0, 1.0, 3)
    brightness = float(BRIGHTNESS[strength] ** bright)
    turned = Light(
        float(3 * turn * LAMP_RAD[strength]),
        float(lean * LAMP_RAD[strength]),
        brightness,
        (float(red), float(green), float(blue)),
    )
    return _varied(scene, Variation(light=turned))


def texture(scene: Scene, names: Names, generator: np.random.Generator, strength: int) -> Scene:
    """The table, which is the background, has another colour; from the second strength on a pattern."""
    tone = np.array([0.74, 0.72, 0.69]) - TABLE_TONE[strength] * generator.uniform(0.1, 1.0, 3)
    pattern, repeat = PATTERNS[int(generator.integers(len(PATTERNS)))], float(generator.uniform(4.0, 9.0))
    red, green, blue = (float(value) for value in tone)
    return _varied(scene, Variation(table=TableLook((red, green, blue), pattern if strength > 1 else "", repeat)))


def noise(scene: Scene, names: Names, generator: np.random.Generator, strength: int) -> Scene:
    """Every picture is noisy, every time otherwise."""
    return _varied(scene, Variation(sensor=Sensor(noise=NOISE[strength], seed=int(generator.integers(2**31)))))


def blur(scene: Scene, names: Names, generator: np.random.Generator, strength: int) -> Scene:
    """Every picture is out of focus."""
    return _varied(scene, Variation(sensor=Sensor(blur_px=BLUR_PX[strength])))


def jpeg(scene: Scene, names: Names, generator: np.random.Generator, strength: int) -> Scene:
    """Every picture was compressed."""
    return _varied(scene, Variation(sensor=Sensor(jpeg_quality=JPEG_QUALITY[strength])))


def start(scene: Scene, names: Names, generator: np.random.Generator, strength: int) -> Scene:
    """The arm starts elsewhere, above everything."""
    away = generator.normal(size=3)
    moved = START_M[strength] * away / np.linalg.norm(away)
    turned = float(_signs(generator, 1)[0]) * START_RAD[strength]
    return dataclasses.replace(scene, pose=_above(scene.pose + np.append(moved, turned)))


def layout(scene: Scene, names: Names, generator: np.random.Generator, strength: int) -> Scene:
    """All that stands on the table is moved together, and blocks are turned."""
    return shifted(scene, generator, LAYOUT_M[strength], LAYOUT_RAD[strength])


def distractors(scene: Scene, names: Names, generator: np.random.Generator, strength: int) -> Scene:
    """More things than usual stand on the table, clear of what the task is about."""
    return crowd(scene, names, generator, DISTRACTORS[strength])


def shove(scene: Scene, names: Names, generator: np.random.Generator, strength: int) -> Scene:
    """In mid-episode a block is struck: at first another one, towards the target; then the target, then harder."""
    return _varied(scene, Variation(shove=draw_shove(scene, names, generator, strength)))


def friction(scene: Scene, names: Names, generator: np.random.Generator, strength: int) -> Scene:
    """Everything is more slippery, or less."""
    return _varied(scene, Variation(friction=float(FRICTION[strength] ** _signs(generator, 1)[0])))


def mass(scene: Scene, names: Names, generator: np.random.Generator, strength: int) -> Scene:
    """Blocks are heavier."""
    return _varied(scene, Variation(mass=MASS[strength]))


AXES: dict[str, Axis] = {
    axis.__name__: axis
    for axis in (camera, light, texture, noise, blur, jpeg, start, layout, distractors, shove, friction, mass)
}
"""By name, in the order of reports."""


def _varied(scene: Scene, variation: Variation) -> Scene:
    return dataclasses.replace(scene, variation=variation)


def _signs(generator: np.random.Generator, number: int) -> Float64[np.ndarray, " numbers"]:
    return generator.choice([-1.0, 1.0], number)


def _above(pose: Float64[np.ndarray, " pose"]) -> Float64[np.ndarray, " pose"]:
    """The pose within the workspace, clear of what stands on the table."""
    low = WORKSPACE_LOW + np.array([0.01, 0.01, 0.1 - WORKSPACE_LOW[2], math.pi / 18])
    return np.clip(pose, low, WORKSPACE_HIGH - 0.01)
