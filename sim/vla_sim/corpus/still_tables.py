"""Tables that nobody has touched yet: any number of blocks, pads, bowls and buttons, some in or on each other."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from vla_sim.tasks import layout
from vla_sim.tasks.layout import RADIUS_M, Wish
from vla_sim.worlds.scene import CAPACITY, COLOURS, Kind, Scene, Thing

KINDS = (Kind.BLOCK, Kind.PAD, Kind.BOWL, Kind.BUTTON)
_ROOM_M2 = 0.052
"""What the circles of all things may cover, so that they find a place."""
_PLACED_SHARE = 0.5
"""How often a block lies on a pad or in a bowl."""


def still_table(generator: np.random.Generator) -> Scene:
    """A scene; the arm stands anywhere above it, its gripper open, closed or in between."""
    things = layout.scatter(generator, _wishes(generator))
    if generator.random() < _PLACED_SHARE:
        things = _placed(generator, things)
    return Scene(things, layout.start_pose(generator), gripper=float(generator.choice([0.0, 0.35, 1.0, 1.0])))


def _wishes(generator: np.random.Generator) -> list[Wish]:
    """At least one thing, and no more than there is room for."""
    while True:
        numbers = {kind: int(generator.integers(CAPACITY[kind] + 1)) for kind in KINDS}
        room = sum(number * math.pi * RADIUS_M[kind] ** 2 for kind, number in numbers.items())
        if 0 < room < _ROOM_M2:
            break
    colours = {
        kind: [str(c) for c in generator.permutation(list(COLOURS))[:number]] for kind, number in numbers.items()
    }
    return [Wish(kind, colour) for kind in KINDS for colour in colours[kind]]


def _placed(generator: np.random.Generator, things: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """One block moved onto a pad or into a bowl, where there are both."""
    blocks = [index for index, thing in enumerate(things) if thing.kind is Kind.BLOCK]
    places = [thing for thing in things if thing.kind in (Kind.PAD, Kind.BOWL)]
    if not blocks or not places:
        return things
    chosen, place = blocks[int(generator.integers(len(blocks)))], places[int(generator.integers(len(places)))]
    moved = dataclasses.replace(things[chosen], x=place.x, y=place.y)
    return tuple(moved if index == chosen else thing for index, thing in enumerate(things))
