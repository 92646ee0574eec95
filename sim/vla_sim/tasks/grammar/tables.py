"""Random tables: draw things, look for a goal that the scene clearly offers, draw again if there is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from vla_sim.tasks import layout
from vla_sim.tasks.grammar.descriptions import Description, plain
from vla_sim.tasks.grammar.goals import Act, Aim, Goal, ground
from vla_sim.tasks.grammar.places import Standing, free_spot
from vla_sim.tasks.grammar.relations import Level, Relation, holds
from vla_sim.tasks.layout import TABLE, Region, Wish
from vla_sim.worlds.scene import COLOURS, Kind, Scene, Thing

_MAX_TRIES = 20_000


@dataclasses.dataclass(frozen=True)
class Number:
    """How many things of a kind stand where."""

    kind: Kind
    least: int
    most: int
    region: Region = TABLE
    palette: tuple[str, ...] = tuple(COLOURS)


type Proposal = Callable[[Sequence[Thing]], tuple[Goal, ...] | None]
"""Goals for things that stand on a table; None to have other ones drawn."""


def draw_table(
    generator: np.random.Generator, numbers: Sequence[Number], propose: Proposal
) -> tuple[Scene, tuple[Goal, ...]]:
    """A scene and goals.

    Args:
        numbers: of each kind, in the order of the things.
        propose: asked about one table after the other until it proposes.

    Raises:
        RuntimeError: if it never does.
    """
    for _ in range(_MAX_TRIES):
        things = draw_things(generator, numbers)
        goals = None if things is None else propose(things)
        if things is not None and goals is not None:
            return Scene(things, layout.start_pose(generator), gripper=1.0), goals
    raise RuntimeError(f"no goal was proposed for {_MAX_TRIES} tables")


def draw_things(generator: np.random.Generator, numbers: Sequence[Number]) -> tuple[Thing, ...] | None:
    """Things in colours that differ within a kind; None if they found no room."""
    wishes: list[Wish] = []
    for number in numbers:
        taken = [wish.colour for wish in wishes if wish.kind is number.kind]
        colours = layout.other_colours(
            generator, taken, int(generator.integers(number.least, number.most + 1)), number.palette
        )
        wishes += [Wish(number.kind, colour, number.region) for colour in colours]
    things = layout.try_once(generator, wishes)
    return None if things is None else tuple(things)


def offers(goal: Goal, things: Sequence[Thing]) -> Aim | None:
    """What a goal comes to on this table, if it can be done; None if not."""
    aim = ground(goal, Scene(tuple(things), layout.START_LOW, gripper=1.0))
    return None if aim.act is Act.REFUSE else aim


def has_room(aim: Aim, things: Sequence[Thing]) -> bool:
    """Whether a place for a `PUT_AT` is free, and the thing is not there already, not even loosely."""
    assert aim.relation is not None
    subject = next(t for t in things if t.name == aim.subjects[0])
    others: Standing = {t.name: (np.array([t.x, t.y]), t.kind) for t in things if t is not subject}
    landmarks = [others[name] for name in aim.objects]
    if holds(aim.relation, np.array([subject.x, subject.y]), landmarks, aim.view, Level.LOOSE):
        return False
    return free_spot(aim.relation, subject.kind, landmarks, others, aim.view) is not None


def related(kind: Kind, relation: Relation, *landmarks: Thing) -> Description:
    """A thing of a kind by its relation to others."""
    return Description(kind, relation=relation, landmarks=tuple(plain(landmark) for landmark in landmarks))


def one_of[T](generator: np.random.Generator, choices: Sequence[T]) -> T:
    """Any of them, all equally likely."""
    return choices[int(generator.integers(len(choices)))]
