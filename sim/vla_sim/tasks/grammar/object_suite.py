"""The suite `object`: colours and shapes that `tabletop` does not have, and how many there are.

| group           | tasks                                      | example                                          |
|-----------------|--------------------------------------------|--------------------------------------------------|
| `seen`          | `seen_pick`, `seen_put`                    | put the red block on the blue pad                |
| `unseen_colour` | `colour_pick`, `colour_put`, `colour_pad`  | put the pink block on the blue pad               |
| `unseen_shape`  | `shape_pick`, `shape_put`, `shape_plate`   | pick up the red cylinder                         |
| `unseen_both`   | `both_pick`, `both_put`                    | put the cyan ball on the white plate             |
| `count`         | `count_both`, `count_single`, `count_none` | put both cylinders on the plate                  |

Seen are blocks, pads and bowls in the five colours of `tabletop`. Around what is named stand things of the other sort,
so that nothing new stands out by being alone. Numbers are said as `both`, `a single` and `no`: number words are kept
for measuring transfer (`vla_sim.corpus.concepts`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from vla_sim.tasks.grammar.descriptions import Description, plain
from vla_sim.tasks.grammar.expert import SEATS
from vla_sim.tasks.grammar.goals import Act, Goal, Quantity
from vla_sim.tasks.grammar.procedural import GrammarTask
from vla_sim.tasks.grammar.tables import Number, draw_table, one_of
from vla_sim.worlds.scene import COLOURS, MORE_COLOURS, Kind, Scene, Thing

OLD, NEW = tuple(COLOURS), tuple(MORE_COLOURS)
SHAPES = (Kind.CYLINDER, Kind.PRISM, Kind.BALL)

type Drawn = tuple[Scene, tuple[Goal, ...]]


def _pick(generator: np.random.Generator, kinds: Sequence[Kind], palette: tuple[str, ...]) -> Drawn:
    """Something of these kinds and colours, among things of all kinds and colours."""
    kind = one_of(generator, kinds)
    numbers = (Number(kind, 1, 1, palette=palette), *_others(generator, kind), Number(Kind.PAD, 1, 1))
    return draw_table(generator, numbers, lambda things: (Goal(Act.PICK_UP, plain(things[0])),))


def _put(
    generator: np.random.Generator,
    kinds: Sequence[Kind],
    palette: tuple[str, ...],
    floors: Sequence[Kind] = (Kind.PAD,),
    floor_palette: tuple[str, ...] = OLD,
) -> Drawn:
    """Something of these kinds and colours, onto something of these."""
    kind, floor = one_of(generator, kinds), one_of(generator, floors)
    numbers = (
        Number(kind, 1, 1, palette=palette),
        Number(floor, 1, 1, palette=floor_palette),
        Number(one_of(generator, (Kind.PAD, Kind.PLATE)), 1, 1, palette=(*OLD, *NEW)),
        *_others(generator, kind),
    )
    return draw_table(generator, numbers, lambda things: (Goal(Act.PUT_ON, plain(things[0]), (plain(things[1]),)),))


def _others(generator: np.random.Generator, kind: Kind) -> tuple[Number, Number]:
    """One more of the kind, and another shape; in any colour."""
    other = one_of(generator, [k for k in (Kind.BLOCK, *SHAPES) if k is not kind])
    return Number(kind, 1, 1, palette=(*OLD, *NEW)), Number(other, 1, 1, palette=(*OLD, *NEW))


# --------------------------------------------------------------------------- counts


def _count(generator: np.random.Generator, quantity: Quantity) -> Drawn:
    """Two things of a kind, some of them on the pad already, and one of another kind."""
    kind, floor = one_of(generator, (Kind.BLOCK, Kind.CYLINDER)), one_of(generator, (Kind.PAD, Kind.PLATE))
    on = {Quantity.ALL: int(generator.integers(2)), Quantity.SINGLE: 2 * int(generator.integers(2))}.get(quantity, 1)
    other = Number(one_of(generator, (Kind.PRISM, Kind.BALL)), 1, 1)
    goals = (Goal(Act.COUNT_ON, Description(kind), (Description(floor),), quantity=quantity),)
    scene, _ = draw_table(generator, (Number(floor, 1, 1), Number(kind, 2, 2), other), lambda things: goals)
    return dataclasses.replace(scene, things=_seated(scene.things, on)), goals


def _seated(things: tuple[Thing, ...], on: int) -> tuple[Thing, ...]:
    """The first of the things that are counted, moved onto the pad, which comes first."""
    pad, *rest = things
    seats = [(pad.x + dx, pad.y + dy) for dx, dy in SEATS[1 : 1 + on]]
    moved = [dataclasses.replace(t, x=x, y=y, yaw=0.0) for t, (x, y) in zip(rest[:on], seats, strict=True)]
    return (pad, *moved, *rest[on:])


TASKS = (
    GrammarTask("seen_pick", functools.partial(_pick, kinds=(Kind.BLOCK,), palette=OLD), 30),
    GrammarTask("seen_put", functools.partial(_put, kinds=(Kind.BLOCK,), palette=OLD), 50),
    GrammarTask("colour_pick", functools.partial(_pick, kinds=(Kind.BLOCK,), palette=NEW), 30),
    GrammarTask("colour_put", functools.partial(_put, kinds=(Kind.BLOCK,), palette=NEW), 50),
    GrammarTask("colour_pad", functools.partial(_put, kinds=(Kind.BLOCK,), palette=OLD, floor_palette=NEW), 50),
    GrammarTask("shape_pick", functools.partial(_pick, kinds=SHAPES, palette=OLD), 30),
    GrammarTask("shape_put", functools.partial(_put, kinds=SHAPES, palette=OLD), 50),
    GrammarTask("shape_plate", functools.partial(_put, kinds=(Kind.BLOCK,), palette=OLD, floors=(Kind.PLATE,)), 50),
    GrammarTask("both_pick", functools.partial(_pick, kinds=SHAPES, palette=NEW), 30),
    GrammarTask(
        "both_put",
        functools.partial(_put, kinds=SHAPES, palette=NEW, floors=(Kind.PLATE,), floor_palette=NEW),
        50,
    ),
    GrammarTask("count_both", functools.partial(_count, quantity=Quantity.ALL), 90),
    GrammarTask("count_single", functools.partial(_count, quantity=Quantity.SINGLE), 60),
    GrammarTask("count_none", functools.partial(_count, quantity=Quantity.NONE), 60),
)
GROUPS = {
    "seen": ("seen_pick", "seen_put"),
    "unseen_colour": ("colour_pick", "colour_put", "colour_pad"),
    "unseen_shape": ("shape_pick", "shape_put", "shape_plate"),
    "unseen_both": ("both_pick", "both_put"),
    "count": ("count_both", "count_single", "count_none"),
}
