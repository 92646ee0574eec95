"""Other places for things: all moved together, or more of them; always within the arm's reach and the picture."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from vla_sim.tasks.layout import RADIUS_M
from vla_sim.worlds.scene import CAPACITY, COLOURS, Kind, Scene, Thing

X_LOW, X_HIGH, Y_LIMIT = 0.355, 0.665, 0.225
"""Where the middle of a thing may be: a little beyond where tasks put them."""
DRAWER_WAY_M, DRAWER_HALF_WIDTH_M = 0.28, 0.15
_TRIES = 200
_KINDS = (Kind.BLOCK, Kind.PAD, Kind.BOWL, Kind.BUTTON)


def shifted(scene: Scene, generator: np.random.Generator, distance_m: float, turn_rad: float) -> Scene:
    """The scene with everything moved by as much, in a direction in which all of it stays on the table.

    Where there is none, it is moved less far. A drawer, which stands at the table's end, moves sideways only.
    """
    directions = [math.tau * (generator.uniform() + index / 16) for index in range(16)]
    turns = generator.choice([-1.0, 1.0], len(scene.things)) * generator.uniform(0.6, 1.0, len(scene.things))
    has_drawer = bool(scene.of_kind(Kind.DRAWER))
    for distance in (distance_m, 0.75 * distance_m, 0.5 * distance_m, 0.25 * distance_m, 0.0):
        for direction in directions:
            x, y = distance * math.cos(direction), distance * math.sin(direction)
            if has_drawer:
                x, y = 0.0, math.copysign(distance, y)
            moved = [_moved(thing, x, y) for thing in scene.things]
            if all(_is_inside(thing) for thing in moved):
                things = [_turned(t, float(turn) * turn_rad) for t, turn in zip(moved, turns, strict=True)]
                return dataclasses.replace(scene, things=tuple(things))
    # At the distance 0 things that stood a hair outside of the limits are left where they are.
    return scene


def crowd(scene: Scene, names: tuple[str, ...], generator: np.random.Generator, number: int) -> Scene:
    """The scene with more things, as many as there are slots and room for, up to a number."""
    things = list(scene.things)
    offers = [Thing(kind, colour, 0.0, 0.0) for kind in _KINDS for colour in COLOURS]
    for index in generator.permutation(len(offers)):
        if len(things) == len(scene.things) + number:
            break
        offer = offers[int(index)]
        is_full = sum(thing.kind is offer.kind for thing in things) >= CAPACITY[offer.kind]
        if is_full or any(thing.name == offer.name for thing in things):
            continue
        placed = _find_place(offer, things, names, generator)
        if placed is not None:
            things.append(placed)
    return dataclasses.replace(scene, things=tuple(things))


def _find_place(
    offer: Thing, things: list[Thing], names: tuple[str, ...], generator: np.random.Generator
) -> Thing | None:
    for _ in range(_TRIES):
        x, y = generator.uniform(X_LOW, X_HIGH), generator.uniform(-Y_LIMIT, Y_LIMIT)
        candidate = dataclasses.replace(offer, x=float(x), y=float(y))
        if all(_is_apart(candidate, thing) for thing in things) and not _is_in_the_way(candidate, things, names):
            return candidate
    return None


def _is_apart(one: Thing, other: Thing) -> bool:
    if other.kind is Kind.DRAWER:
        return one.x > other.x + DRAWER_WAY_M or abs(one.y - other.y) > DRAWER_HALF_WIDTH_M
    return math.hypot(one.x - other.x, one.y - other.y) > RADIUS_M[one.kind] + RADIUS_M[other.kind]


def _is_in_the_way(candidate: Thing, things: list[Thing], names: tuple[str, ...]) -> bool:
    """Whether a thing stands between the two that an instruction names, or behind the first: where pushes go."""
    if len(names) < 2 or candidate.kind is Kind.PAD:
        return False
    first, second = (next(thing for thing in things if thing.name == name) for name in names[:2])
    begin, end = np.array([first.x, first.y]), np.array([second.x, second.y])
    along = (end - begin) / np.linalg.norm(end - begin)
    offset = np.array([candidate.x, candidate.y]) - (begin - 0.09 * along)
    on_way = np.clip(offset @ along, 0.0, np.linalg.norm(end - begin) + 0.09)
    return bool(np.linalg.norm(offset - on_way * along) < RADIUS_M[candidate.kind] + 0.035)


def _moved(thing: Thing, x: float, y: float) -> Thing:
    return dataclasses.replace(thing, x=thing.x + x, y=thing.y + y)


def _turned(thing: Thing, turn_rad: float) -> Thing:
    return dataclasses.replace(thing, yaw=thing.yaw + turn_rad) if thing.kind is Kind.BLOCK else thing


def _is_inside(thing: Thing) -> bool:
    if thing.kind is Kind.DRAWER:
        return abs(thing.y) < 0.15
    return X_LOW < thing.x < X_HIGH and abs(thing.y) < Y_LIMIT
