"""Where to set a thing down so that a relation holds: the first free spot of a few, nearest to the relation's heart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from vla_sim.tasks.grammar.relations import (
    CORNERS,
    FOOTPRINT_M,
    TABLE_MIDDLE,
    Level,
    Point,
    Relation,
    View,
    corner,
    direction,
    holds,
)
from vla_sim.tasks.layout import RADIUS_M
from vla_sim.worlds.scene import Kind

REACH_LOW, REACH_HIGH = np.array([0.365, -0.22]), np.array([0.655, 0.22])
"""Where things are set down: x and y, m."""
_GAP_M = 0.006
"""More than the fingers need beside a thing."""
_ANGLES_RAD = tuple(math.radians(angle) for angle in (0, 12, -12, 24, -24))

Standing = Mapping[str, tuple[Point, Kind]]
"""What stands on the table: middle and kind by name."""


def free_spot(
    relation: Relation, subject_kind: Kind, landmarks: Sequence[tuple[Point, Kind]], others: Standing, view: View
) -> Point | None:
    """A place within reach, clear of the other things, where the relation clearly holds; None if there is none.

    Args:
        landmarks: middles and kinds of what the relation is to.
        others: all that stands there but the thing itself, the landmarks too.
    """
    footprint_m = FOOTPRINT_M[subject_kind]
    for spot in _spots(relation, subject_kind, landmarks, view):
        within = bool((spot > REACH_LOW).all() and (spot < REACH_HIGH).all())
        is_free = within and is_clear_of(spot, subject_kind, others)
        if is_free and holds(relation, spot, landmarks, view, Level.CLEAR, footprint_m):
            return spot
    return None


def is_clear_of(spot: Point, kind: Kind, others: Standing) -> bool:
    """Whether open fingers around a thing at a spot keep clear of what stands there."""
    return all(math.hypot(*(spot - place)) > _apart_m(kind, other) for place, other in others.values())


def _apart_m(kind: Kind, other: Kind) -> float:
    return RADIUS_M[kind] + (RADIUS_M[other] or FOOTPRINT_M[other])


def _spots(relation: Relation, kind: Kind, landmarks: Sequence[tuple[Point, Kind]], view: View) -> Iterator[Point]:
    if relation in CORNERS:
        yield from _corner_spots(relation, view)
    elif relation is Relation.BETWEEN:
        first, second = (place for place, _ in landmarks)
        yield from (first + share * (second - first) for share in (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65))
    else:
        place, landmark = landmarks[0]
        nearest = _apart_m(kind, landmark) + _GAP_M
        if relation is Relation.NEXT_TO:
            angles = [turn * math.pi / 8 for turn in range(16)]
            yield from (place + nearest * np.array([math.cos(a), math.sin(a)]) for a in angles)
        else:
            towards = direction(relation, view)
            for farther in (0.0, 0.02, 0.04, 0.06, 0.08):
                yield from (place + (nearest + farther) * _turned(towards, angle) for angle in _ANGLES_RAD)


def _corner_spots(relation: Relation, view: View) -> Iterator[Point]:
    signs = corner(relation, view)
    for x in (0.105, 0.12, 0.09, 0.135, 0.08):
        for y in (0.15, 0.17, 0.13, 0.19, 0.12):
            yield TABLE_MIDDLE + signs * np.array([x, y])


def _turned(vector: Point, angle: float) -> Point:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([cosine * vector[0] - sine * vector[1], sine * vector[0] + cosine * vector[1]])
