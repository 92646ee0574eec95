r"""Where one thing is to others, seen from above: what `left of`, `between` or `nearest to` mean, in metres.

Left, right, in front and behind are a viewer's: the arm's, who looks along +x, or the scene camera's, who looks back at
it. A thing is left of another when it lies within a cone to its left:

             behind
         \     |     /
           \   |   /           the cones are open at their edges, so no thing is left of
     left ─── thing ─── right    another and also right of it, in front of it or behind it
           /   |   \
         /     |     \
            in front             on the viewer's side of the thing

Each relation is judged at one of three levels. What a sentence points out must be `CLEAR`, and nothing else may be
even `LOOSE`ly so; a goal is reached when it is `PLAIN`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from vla_sim.worlds.scene import (
    BLOCK_SIZE_M,
    BOWL_HEIGHT_M,
    BOWL_RADIUS_M,
    PAD_SIZE_M,
    PLATE_RADIUS_M,
    Kind,
)
from vla_sim.worlds.tabletop import SCENE_CAMERA_POSITION, SCENE_CAMERA_TARGET

Point = Float64[np.ndarray, " xy"]

TABLE_MIDDLE = np.array([0.51, 0.0])
FOOTPRINT_M = {
    Kind.BLOCK: BLOCK_SIZE_M / 2,
    Kind.PAD: PAD_SIZE_M / 2,
    Kind.BOWL: BOWL_RADIUS_M + BOWL_HEIGHT_M / 3,
    Kind.BUTTON: 0.036,
    Kind.DRAWER: 0.09,
    Kind.CYLINDER: BLOCK_SIZE_M / 2,
    Kind.PRISM: BLOCK_SIZE_M / 2,
    Kind.BALL: BLOCK_SIZE_M / 2,
    Kind.PLATE: PLATE_RADIUS_M,
}
"""From a thing's middle to its edge."""


class View(enum.Enum):
    """Whose left and right it is."""

    ARM = "arm"
    CAMERA = "camera"


class Relation(enum.Enum):
    """What a thing can be to the places of others."""

    LEFT = "left"
    RIGHT = "right"
    FRONT = "front"
    BEHIND = "behind"
    NEXT_TO = "next_to"
    BETWEEN = "between"
    NEAREST = "nearest"
    FARTHEST = "farthest"
    NEAR_LEFT = "near_left"
    NEAR_RIGHT = "near_right"
    FAR_LEFT = "far_left"
    FAR_RIGHT = "far_right"


DIRECTIONS = (Relation.LEFT, Relation.RIGHT, Relation.FRONT, Relation.BEHIND)
CORNERS = (Relation.NEAR_LEFT, Relation.NEAR_RIGHT, Relation.FAR_LEFT, Relation.FAR_RIGHT)
"""Of the table; near and far from the viewer."""
COMPARISONS = (Relation.NEAREST, Relation.FARTHEST)
"""These are about all the things of a kind: `vla_sim.tasks.grammar.descriptions` judges them."""


class Level(enum.Enum):
    """How strictly a relation is judged."""

    CLEAR = 0
    PLAIN = 1
    LOOSE = 2


_CONE_RAD = {Level.CLEAR: math.radians(30), Level.PLAIN: math.radians(45), Level.LOOSE: math.radians(65)}
_REACH_M = {Level.CLEAR: 0.22, Level.PLAIN: 0.25, Level.LOOSE: 1.0}
"""Farther away than this, a thing is no longer called left of another."""
_BESIDE_GAP_M = {Level.CLEAR: 0.055, Level.PLAIN: 0.065, Level.LOOSE: 0.10}
"""Between the edges of two things that are next to each other."""
_BETWEEN_ENDS = {Level.CLEAR: 0.30, Level.PLAIN: 0.20, Level.LOOSE: 0.05}
"""So far from either end, as a share of the way, a thing between two others is at least."""
_BETWEEN_ASIDE_M = {Level.CLEAR: 0.025, Level.PLAIN: 0.04, Level.LOOSE: 0.08}
_CORNER_M = {Level.CLEAR: (0.07, 0.11), Level.PLAIN: (0.055, 0.09), Level.LOOSE: (0.02, 0.04)}
"""From the table's middle: away from the viewer, and aside."""
COMPARISON_MARGIN_M = 0.03
"""By so much the nearest thing is nearer than the next."""


def holds(
    relation: Relation,
    subject: Point,
    landmarks: Sequence[tuple[Point, Kind]],
    view: View,
    level: Level,
    footprint_m: float = FOOTPRINT_M[Kind.BLOCK],
) -> bool:
    """Whether a relation holds at a level.

    Args:
        subject: the middle of the thing that is spoken of.
        landmarks: the middles and kinds of the others: two for `BETWEEN`, none for a corner, else one.
        footprint_m: of the subject.

    Raises:
        ValueError: for a comparison, which two things alone do not settle.
    """
    if relation in COMPARISONS:
        raise ValueError(f"'{relation.value}' compares all things of a kind: ask descriptions.denote")
    if relation in CORNERS:
        return _in_corner(relation, subject, view, level)
    if relation is Relation.BETWEEN:
        return _is_between(subject, landmarks[0][0], landmarks[1][0], level)
    landmark, kind = landmarks[0]
    if relation is Relation.NEXT_TO:
        gap = math.hypot(*(subject - landmark)) - FOOTPRINT_M[kind] - footprint_m
        return gap < _BESIDE_GAP_M[level]
    return _is_towards(direction(relation, view), subject - landmark, FOOTPRINT_M[kind], level)


def axes(view: View) -> tuple[Point, Point]:
    """The viewer's right, and away from the viewer: unit vectors in the base frame."""
    if view is View.ARM:
        return np.array([0.0, -1.0]), np.array([1.0, 0.0])
    away = (SCENE_CAMERA_TARGET - SCENE_CAMERA_POSITION)[:2]
    away = away / math.hypot(*away)
    return np.array([away[1], -away[0]]), away


def direction(relation: Relation, view: View) -> Point:
    """The unit vector that one of `DIRECTIONS` points along."""
    right, away = axes(view)
    return {Relation.LEFT: -right, Relation.RIGHT: right, Relation.FRONT: -away, Relation.BEHIND: away}[relation]


def corner(relation: Relation, view: View) -> Point:
    """Which way a corner lies from the table's middle: the signs of x and y."""
    is_far, is_left = "far" in relation.value, "left" in relation.value
    signs = np.array([1.0 if is_far else -1.0, 1.0 if is_left else -1.0])
    return signs if view is View.ARM else -signs


def _is_towards(towards: Point, offset: Point, clear_m: float, level: Level) -> bool:
    distance = math.hypot(*offset)
    if not clear_m < distance < _REACH_M[level]:
        return False
    return float(offset @ towards) > distance * math.cos(_CONE_RAD[level])


def _is_between(subject: Point, first: Point, second: Point, level: Level) -> bool:
    way = second - first
    length = math.hypot(*way)
    along = float((subject - first) @ way) / length**2
    aside = abs(float(way[0] * (subject - first)[1] - way[1] * (subject - first)[0])) / length
    return _BETWEEN_ENDS[level] < along < 1 - _BETWEEN_ENDS[level] and aside < _BETWEEN_ASIDE_M[level]


def _in_corner(relation: Relation, subject: Point, view: View, level: Level) -> bool:
    return bool(((subject - TABLE_MIDDLE) * corner(relation, view) > _CORNER_M[level]).all())
