"""The suite `spatial`: which thing, or where to, is said by places alone; colours do not help.

| task                | example                                                              |
|---------------------|----------------------------------------------------------------------|
| `pick_by_direction` | pick up the block that is left of the blue pad                       |
| `pick_next_to`      | lift the cube next to the bowl                                       |
| `pick_between`      | grab the block between the red pad and the bowl                      |
| `pick_by_distance`  | raise the block farthest from the green pad                          |
| `pick_in_corner`    | pick up the block in the far left corner                             |
| `put_by_direction`  | put the red block in front of the blue bowl                          |
| `put_next_to`       | place the red cube beside the yellow block                           |
| `put_between`       | move the red block between the blue pad and the green pad            |
| `put_in_corner`     | bring the red block to a place in the near right corner of the table |
| `put_related_on`    | put the block behind the bowl on the red pad                         |
| `pick_from_view`    | from your side pick up the block left of the blue pad                |
| `pick_from_camera`  | the same scene and relation: from the camera ...                     |
| `put_from_view`     | put the red block to the right of the bowl from your side            |
| `put_from_camera`   | the same scene and relation: from the camera ...                     |

Without a view, left and right are the arm's, whose base stands at the near edge of the table and looks at the camera.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from vla_sim.tasks.grammar.descriptions import plain
from vla_sim.tasks.grammar.goals import Act, Goal
from vla_sim.tasks.grammar.procedural import GrammarTask
from vla_sim.tasks.grammar.relations import COMPARISONS, CORNERS, DIRECTIONS, Relation, View
from vla_sim.tasks.grammar.tables import Number, draw_table, has_room, offers, one_of, related
from vla_sim.worlds.scene import Kind, Scene, Thing

_LANDMARKS = (Kind.PAD, Kind.BOWL)
_MIDDLE = (0.46, 0.56, -0.08, 0.08)
"""Where a landmark has room on all sides."""

type Drawn = tuple[Scene, tuple[Goal, ...]]


def _pick_single(generator: np.random.Generator, relations: Sequence[Relation]) -> Drawn:
    """The block that has a relation to a pad or bowl, or is in a corner."""
    relation = one_of(generator, relations)

    def propose(things: Sequence[Thing]) -> tuple[Goal, ...] | None:
        landmarks = [t for t in things if t.kind in _LANDMARKS]
        chosen = () if relation in CORNERS else (one_of(generator, landmarks),)
        return _if_offered(Goal(Act.PICK_UP, related(Kind.BLOCK, relation, *chosen)), things)

    return draw_table(generator, (Number(Kind.BLOCK, 2, 4), Number(Kind.PAD, 1, 2), Number(Kind.BOWL, 0, 1)), propose)


def _pick_between(generator: np.random.Generator) -> Drawn:
    def propose(things: Sequence[Thing]) -> tuple[Goal, ...] | None:
        landmarks = [t for t in things if t.kind in _LANDMARKS]
        first, second = (landmarks[i] for i in generator.permutation(len(landmarks))[:2])
        return _if_offered(Goal(Act.PICK_UP, related(Kind.BLOCK, Relation.BETWEEN, first, second)), things)

    return draw_table(generator, (Number(Kind.BLOCK, 2, 4), Number(Kind.PAD, 2, 2), Number(Kind.BOWL, 0, 1)), propose)


def _put_single(generator: np.random.Generator, relations: Sequence[Relation]) -> Drawn:
    """A block by its colour, to where a relation holds."""
    relation = one_of(generator, relations)

    def propose(things: Sequence[Thing]) -> tuple[Goal, ...] | None:
        block, *others = things  # the first is a block
        landmarks = () if relation in CORNERS else (plain(one_of(generator, others)),)
        return _if_room(Goal(Act.PUT_AT, plain(block), landmarks, relation), things)

    return draw_table(generator, (Number(Kind.BLOCK, 2, 3), Number(Kind.PAD, 1, 1), Number(Kind.BOWL, 1, 1)), propose)


def _put_between(generator: np.random.Generator) -> Drawn:
    def propose(things: Sequence[Thing]) -> tuple[Goal, ...] | None:
        block, *others = things
        pair = [others[i] for i in generator.permutation(len(others))[:2]]
        goal = Goal(Act.PUT_AT, plain(block), tuple(plain(thing) for thing in pair), Relation.BETWEEN)
        return _if_room(goal, things)

    return draw_table(generator, (Number(Kind.BLOCK, 2, 3), Number(Kind.PAD, 1, 2), Number(Kind.BOWL, 0, 1)), propose)


def _put_related_on(generator: np.random.Generator) -> Drawn:
    """A block by its place, onto a pad by its colour."""
    relation = one_of(generator, (*DIRECTIONS, Relation.NEAREST, Relation.FARTHEST))

    def propose(things: Sequence[Thing]) -> tuple[Goal, ...] | None:
        pads = [t for t in things if t.kind is Kind.PAD]
        landmark, pad = (pads[i] for i in generator.permutation(len(pads))[:2])
        return _if_offered(Goal(Act.PUT_ON, related(Kind.BLOCK, relation, landmark), (plain(pad),)), things)

    return draw_table(generator, (Number(Kind.BLOCK, 2, 4), Number(Kind.PAD, 2, 3)), propose)


def _pick_from_views(generator: np.random.Generator) -> Drawn:
    """The same words from both sides of the table: another block each."""
    relation = one_of(generator, DIRECTIONS)

    def propose(things: Sequence[Thing]) -> tuple[Goal, ...] | None:
        goals = _seen(Goal(Act.PICK_UP, related(Kind.BLOCK, relation, things[0])))
        aims = [offers(goal, things) for goal in goals]
        return goals if None not in aims and aims[0] != aims[1] else None

    landmark = Number(one_of(generator, _LANDMARKS), 1, 1, _MIDDLE)
    return draw_table(generator, (landmark, Number(Kind.BLOCK, 2, 4), Number(Kind.PAD, 0, 1)), propose)


def _put_from_views(generator: np.random.Generator) -> Drawn:
    """The same words from both sides of the table: another place each."""
    relation = one_of(generator, DIRECTIONS)

    def propose(things: Sequence[Thing]) -> tuple[Goal, ...] | None:
        landmark, block = things[:2]
        goals = _seen(Goal(Act.PUT_AT, plain(block), (plain(landmark),), relation))
        return goals if all(_if_room(goal, things) for goal in goals) else None

    landmark = Number(one_of(generator, _LANDMARKS), 1, 1, _MIDDLE)
    return draw_table(generator, (landmark, Number(Kind.BLOCK, 2, 3), Number(Kind.PAD, 0, 1)), propose)


def _seen(goal: Goal) -> tuple[Goal, Goal]:
    return dataclasses.replace(goal, view=View.ARM), dataclasses.replace(goal, view=View.CAMERA)


def _if_offered(goal: Goal, things: Sequence[Thing]) -> tuple[Goal, ...] | None:
    return None if offers(goal, things) is None else (goal,)


def _if_room(goal: Goal, things: Sequence[Thing]) -> tuple[Goal, ...] | None:
    aim = offers(goal, things)
    return (goal,) if aim is not None and has_room(aim, things) else None


TASKS = (
    GrammarTask("pick_by_direction", functools.partial(_pick_single, relations=DIRECTIONS), 30),
    GrammarTask("pick_next_to", functools.partial(_pick_single, relations=(Relation.NEXT_TO,)), 30),
    GrammarTask("pick_between", _pick_between, 30),
    GrammarTask("pick_by_distance", functools.partial(_pick_single, relations=COMPARISONS), 30),
    GrammarTask("pick_in_corner", functools.partial(_pick_single, relations=CORNERS), 30),
    GrammarTask("put_by_direction", functools.partial(_put_single, relations=DIRECTIONS)),
    GrammarTask("put_next_to", functools.partial(_put_single, relations=(Relation.NEXT_TO,))),
    GrammarTask("put_between", _put_between),
    GrammarTask("put_in_corner", functools.partial(_put_single, relations=CORNERS)),
    GrammarTask("put_related_on", _put_related_on),
    GrammarTask("pick_from_view", _pick_from_views, 30, says_view=True),
    GrammarTask("pick_from_camera", _pick_from_views, 30, "pick_from_view", goal_index=1, says_view=True),
    GrammarTask("put_from_view", _put_from_views, says_view=True),
    GrammarTask("put_from_camera", _put_from_views, scene_of="put_from_view", goal_index=1, says_view=True),
)
GROUPS = {
    "directions": ("pick_by_direction", "put_by_direction"),
    "next_to": ("pick_next_to", "put_next_to"),
    "between": ("pick_between", "put_between"),
    "distances": ("pick_by_distance",),
    "corners": ("pick_in_corner", "put_in_corner"),
    "composed": ("put_related_on",),
    "views": ("pick_from_view", "pick_from_camera", "put_from_view", "put_from_camera"),
}
SETS = (("pick_from_view", "pick_from_camera"), ("put_from_view", "put_from_camera"))
"""Tasks in the same scene that are scored together too: all right, or not."""
