"""Who is struck in mid-episode, when, and how hard: so that it stays within reach and, if it can, hits nothing."""

from __future__ import annotations

import math

import numpy as np

from vla_sim.perturbations.placing import X_HIGH, X_LOW, Y_LIMIT
from vla_sim.worlds.scene import BLOCK_SIZE_M, Kind, Scene, Thing
from vla_sim.worlds.tabletop import BLOCK_FRICTION
from vla_sim.worlds.variations import Shove

GRAVITY_M_S2 = 9.81
DISTANCE_M = {1: 0.03, 2: 0.04, 3: 0.09}
"""How far a block slides; at the first strength it is another block, and this is how far from the target it stops."""
FIRST_STEP, LAST_STEP = 3, 9
"""When it happens: before most grasps, at some."""
_DIRECTIONS = 24


def draw_shove(scene: Scene, names: tuple[str, ...], generator: np.random.Generator, strength: int) -> Shove | None:
    """The shove of a scene; none where no block stands on it."""
    step = int(generator.integers(FIRST_STEP, LAST_STEP + 1))
    phase = generator.uniform(0.0, math.tau)
    blocks = scene.of_kind(Kind.BLOCK)
    targets = [thing for thing in blocks if thing.name in names[:1]]
    if strength == 1 or not targets:
        others = [thing for thing in blocks if thing.name not in names]
        return _towards(scene, others, names, step, DISTANCE_M[strength]) if others else None
    return _away(scene, targets[0], phase, step, DISTANCE_M[strength])


def speed_over(distance_m: float) -> float:
    """The speed at which a block slides so far: v² = 2 μ g d."""
    return math.sqrt(2 * BLOCK_FRICTION[0] * GRAVITY_M_S2 * distance_m)


def _towards(scene: Scene, others: list[Thing], names: tuple[str, ...], step: int, gap_m: float) -> Shove:
    """The nearest other block slides towards the target, and stops beside it."""
    target = next((thing for thing in scene.things if thing.name in names), scene.things[0])
    struck = min(others, key=lambda thing: math.hypot(thing.x - target.x, thing.y - target.y))
    x, y = target.x - struck.x, target.y - struck.y
    length = max(math.hypot(x, y), 1e-6)
    speed = speed_over(max(0.02, length - BLOCK_SIZE_M - gap_m))
    return Shove(struck.name, step, float(speed * x / length), float(speed * y / length))


def _away(scene: Scene, struck: Thing, phase: float, step: int, distance_m: float) -> Shove:
    """The struck block slides in the direction, of those that keep it on the table, with the most room."""
    directions = [phase + math.tau * index / _DIRECTIONS for index in range(_DIRECTIONS)]
    others = [thing for thing in scene.things if thing is not struck]

    def room(direction: float) -> float:
        x, y = struck.x + distance_m * math.cos(direction), struck.y + distance_m * math.sin(direction)
        beyond = max(X_LOW - x, x - X_HIGH, abs(y) - Y_LIMIT, 0.0)
        nearest = min((math.hypot(x - o.x, y - o.y) for o in others), default=1.0)
        return min(nearest, 0.1) - 10 * beyond

    direction, speed = max(directions, key=room), speed_over(distance_m)
    return Shove(struck.name, step, speed * math.cos(direction), speed * math.sin(direction))
