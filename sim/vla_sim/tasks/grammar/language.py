"""The suite `language`: the same deeds, said so that every word counts; and words that must not be followed.

| task                                       | example                                                          |
|--------------------------------------------|------------------------------------------------------------------|
| `paraphrase_pick`, `_put_on`, `_put_in`    | the blue pad is where the red block belongs                      |
| `negation_pick`                            | pick up the block that is not red                                |
| `negation_put`                             | put the block that is neither red nor blue on the green pad      |
| `negation_pad`                             | put the red block on the pad that is not green                   |
| `roles`, `roles_swapped`                   | put the red block on the blue block; the blue on the red         |
| `sides`, `sides_swapped`                   | put the red block left of the blue block; the blue of the red    |
| `contradiction_pick`, `_put`               | pick up the red block but leave it where it is                   |
| `absent_pick`, `absent_put`, `absent_pad`  | pick up the green block, where none is                           |
| `impossible`                               | put the green pad on the red block                               |
| `obey_...`                                 | the same scenes, the same way of speaking, and it can be done    |

What cannot or must not be done is to be *refused*: when the time is over nothing has been moved, opened, pressed or
held. A policy refuses by holding still. Holding still alone is worth nothing: each of those tasks shares its scenes
with an `obey_...` task, and both are scored together.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from vla_sim.tasks.grammar.descriptions import Description, plain
from vla_sim.tasks.grammar.goals import Act, Goal
from vla_sim.tasks.grammar.procedural import Drawing, GrammarTask
from vla_sim.tasks.grammar.relations import DIRECTIONS, Relation
from vla_sim.tasks.grammar.tables import Number, draw_table, has_room, offers, one_of
from vla_sim.worlds.scene import COLOURS, Kind, Scene, Thing

REFUSAL_STEPS = 30
"""As many as picking up has."""
_OBJECTS = {Act.PUT_ON: Kind.PAD, Act.PUT_IN: Kind.BOWL}
_TABLE = (Number(Kind.BLOCK, 2, 4), Number(Kind.PAD, 1, 2))
_WITH_BOWL = (Number(Kind.BLOCK, 2, 3), Number(Kind.PAD, 1, 1), Number(Kind.BOWL, 1, 1))

type Drawn = tuple[Scene, tuple[Goal, ...]]
type Things = Sequence[Thing]


def _drawing(numbers: Sequence[Number], propose: Callable[[np.random.Generator, Things], tuple[Goal, ...]]) -> Drawing:
    """Tables of which the first that fits all goals is taken."""

    def draw(generator: np.random.Generator) -> Drawn:
        return draw_table(generator, numbers, functools.partial(propose, generator))

    return draw


def _kind(things: Things, kind: Kind) -> list[Thing]:
    return [thing for thing in things if thing.kind is kind]


def _plain(generator: np.random.Generator, things: Things, act: Act) -> tuple[Goal, ...]:
    block = plain(_kind(things, Kind.BLOCK)[0])
    objects = () if act is Act.PICK_UP else (plain(one_of(generator, _kind(things, _OBJECTS[act]))),)
    return (Goal(act, block, objects),)


# --------------------------------------------------------------------------- negation


def _not_one(generator: np.random.Generator, things: Things) -> tuple[Goal, ...]:
    other = _kind(things, Kind.BLOCK)[1]
    return (Goal(Act.PICK_UP, Description(Kind.BLOCK, not_colours=(other.colour,))),)


def _not_two(generator: np.random.Generator, things: Things) -> tuple[Goal, ...]:
    others = _kind(things, Kind.BLOCK)[1:]
    meant = Description(Kind.BLOCK, not_colours=tuple(other.colour for other in others))
    return (Goal(Act.PUT_ON, meant, (plain(one_of(generator, _kind(things, Kind.PAD))),)),)


def _not_pad(generator: np.random.Generator, things: Things) -> tuple[Goal, ...]:
    other = _kind(things, Kind.PAD)[1]
    pad = Description(Kind.PAD, not_colours=(other.colour,))
    return (Goal(Act.PUT_ON, plain(_kind(things, Kind.BLOCK)[0]), (pad,)),)


# --------------------------------------------------------------------------- roles


def _roles(generator: np.random.Generator, things: Things) -> tuple[Goal, ...]:
    first, second = (plain(block) for block in _kind(things, Kind.BLOCK)[:2])
    return (Goal(Act.PUT_ON, first, (second,)), Goal(Act.PUT_ON, second, (first,)))


def _sides(generator: np.random.Generator) -> Drawn:
    relation = one_of(generator, DIRECTIONS)

    def propose(things: Things) -> tuple[Goal, ...] | None:
        first, second = (plain(block) for block in _kind(things, Kind.BLOCK)[:2])
        goals = (_beside(first, relation, second), _beside(second, relation, first))
        aims = [offers(goal, things) for goal in goals]
        return goals if all(aim is not None and has_room(aim, things) for aim in aims) else None

    return draw_table(generator, (Number(Kind.BLOCK, 2, 3), Number(Kind.PAD, 1, 1)), propose)


def _beside(subject: Description, relation: Relation, landmark: Description) -> Goal:
    return Goal(Act.PUT_AT, subject, (landmark,), relation)


# --------------------------------------------------------------------------- what is to be refused, and its twin


def _taken_back(generator: np.random.Generator, things: Things, act: Act) -> tuple[Goal, ...]:
    (goal,) = _plain(generator, things, act)
    return dataclasses.replace(goal, takes_back=True), goal


def _absent_block(generator: np.random.Generator, things: Things, act: Act) -> tuple[Goal, ...]:
    (goal,) = _plain(generator, things, act)
    absent = Description(Kind.BLOCK, _absent_colour(generator, things, Kind.BLOCK))
    return dataclasses.replace(goal, subject=absent), goal


def _absent_pad(generator: np.random.Generator, things: Things) -> tuple[Goal, ...]:
    (goal,) = _plain(generator, things, Act.PUT_ON)
    absent = Description(Kind.PAD, _absent_colour(generator, things, Kind.PAD))
    return dataclasses.replace(goal, objects=(absent,)), goal


def _absent_colour(generator: np.random.Generator, things: Things, kind: Kind) -> str:
    """A colour that nothing of a kind has; where possible one that something else has."""
    free = [colour for colour in COLOURS if colour not in {thing.colour for thing in _kind(things, kind)}]
    seen = [colour for colour in free if colour in {thing.colour for thing in things}]
    return one_of(generator, seen or free)


def _impossible(generator: np.random.Generator, things: Things) -> tuple[Goal, ...]:
    """Nobody can carry a pad or a bowl, open a block, press a bowl."""
    block, pad, bowl = (plain(_kind(things, kind)[0]) for kind in (Kind.BLOCK, Kind.PAD, Kind.BOWL))
    nonsense = (
        (Goal(Act.PICK_UP, pad), Goal(Act.PICK_UP, block)),
        (Goal(Act.PICK_UP, bowl), Goal(Act.PICK_UP, block)),
        (Goal(Act.PUT_ON, pad, (block,)), Goal(Act.PUT_ON, block, (pad,))),
        (Goal(Act.PUT_IN, bowl, (block,)), Goal(Act.PUT_IN, block, (bowl,))),
        (Goal(Act.PUT_IN, block, (pad,)), Goal(Act.PUT_IN, block, (bowl,))),
        (Goal(Act.OPEN, block), Goal(Act.PICK_UP, block)),
        (Goal(Act.PRESS, bowl), Goal(Act.PUT_IN, block, (bowl,))),
        (Goal(Act.PUSH_TO, pad, (block,)), Goal(Act.PUT_ON, block, (pad,))),
    )
    return one_of(generator, nonsense)


def _with_twin(name: str, draw: Drawing) -> tuple[GrammarTask, GrammarTask]:
    """What is to be refused, and in the same scenes what is to be obeyed."""
    return (
        GrammarTask(name, draw, REFUSAL_STEPS),
        GrammarTask(f"obey_{name}", draw, max_steps=60, scene_of=name, goal_index=1),
    )


_ROLES = _drawing((Number(Kind.BLOCK, 2, 4), Number(Kind.PAD, 1, 1)), _roles)
PARAPHRASES = (
    GrammarTask("paraphrase_pick", _drawing(_TABLE, functools.partial(_plain, act=Act.PICK_UP)), 30, paraphrases=True),
    GrammarTask("paraphrase_put_on", _drawing(_TABLE, functools.partial(_plain, act=Act.PUT_ON)), 50, paraphrases=True),
    GrammarTask(
        "paraphrase_put_in", _drawing(_WITH_BOWL, functools.partial(_plain, act=Act.PUT_IN)), 50, paraphrases=True
    ),
)
NEGATIONS = (
    GrammarTask("negation_pick", _drawing((Number(Kind.BLOCK, 2, 2), Number(Kind.PAD, 1, 2)), _not_one), 30),
    GrammarTask("negation_put", _drawing((Number(Kind.BLOCK, 3, 3), Number(Kind.PAD, 1, 2)), _not_two), 50),
    GrammarTask("negation_pad", _drawing((Number(Kind.BLOCK, 2, 3), Number(Kind.PAD, 2, 2)), _not_pad), 50),
)
ROLES = (
    GrammarTask("roles", _ROLES, 50),
    GrammarTask("roles_swapped", _ROLES, 50, "roles", goal_index=1),
    GrammarTask("sides", _sides, 50),
    GrammarTask("sides_swapped", _sides, 50, "sides", goal_index=1),
)
TWINS = (
    _with_twin("contradiction_pick", _drawing(_TABLE, functools.partial(_taken_back, act=Act.PICK_UP))),
    _with_twin("contradiction_put", _drawing(_TABLE, functools.partial(_taken_back, act=Act.PUT_ON))),
    _with_twin("absent_pick", _drawing(_TABLE, functools.partial(_absent_block, act=Act.PICK_UP))),
    _with_twin("absent_put", _drawing(_TABLE, functools.partial(_absent_block, act=Act.PUT_ON))),
    _with_twin("absent_pad", _drawing(_TABLE, _absent_pad)),
    _with_twin("impossible", _drawing(_WITH_BOWL, _impossible)),
)
TASKS = (*PARAPHRASES, *NEGATIONS, *ROLES, *(task for pair in TWINS for task in pair))
GROUPS = {
    "paraphrases": tuple(task.name for task in PARAPHRASES),
    "negations": tuple(task.name for task in NEGATIONS),
    "roles": tuple(task.name for task in ROLES),
    "contradictions_refused": ("contradiction_pick", "contradiction_put"),
    "absent_things_refused": ("absent_pick", "absent_put", "absent_pad"),
    "impossible_deeds_refused": ("impossible",),
    "obeyed": tuple(obeyed.name for _, obeyed in TWINS),
}
SETS = (
    ("roles", "roles_swapped"),
    ("sides", "sides_swapped"),
    *((refused.name, obeyed.name) for refused, obeyed in TWINS),
)
