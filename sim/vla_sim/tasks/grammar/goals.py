"""What an instruction asks for, and what that comes to in a scene.

    sentence ◄─► Goal(act, subject, objects: descriptions)  ─ ground ─►  Aim(act, names)  ─► referee, expert

Grounding is done once, when the episode begins: "the block left of the pad" stays that block when it is moved. A goal
that cannot be had in its scene - nothing fits, or what fits cannot be carried, opened, pressed, or the words take back
what they ask for - is grounded as `Act.REFUSE`: nothing is to be moved.
"""

from __future__ import annotations

import dataclasses
import enum

from vla_sim.tasks.grammar.descriptions import Description, denote, pick_out
from vla_sim.tasks.grammar.relations import Level, Relation, View
from vla_sim.worlds.scene import CARRIED, Kind, Scene, Thing


class Act(enum.Enum):
    """What is to be done with the subject."""

    PICK_UP = "pick_up"
    PUT_ON = "put_on"
    PUT_IN = "put_in"
    PUT_AT = "put_at"
    """To where a relation holds."""
    PUSH_TO = "push_to"
    OPEN = "open"
    PRESS = "press"
    COUNT_ON = "count_on"
    """So many of a kind, and no more, are to be on the object."""
    REFUSE = "refuse"


class Quantity(enum.Enum):
    """How many things of a kind are to be somewhere."""

    ALL = "all"
    SINGLE = "single"
    NONE = "none"


PADS = frozenset({Kind.PAD, Kind.PLATE})
_FLOORS = PADS | {Kind.BLOCK}
"""What a thing can be put on."""
_MAKES_SENSE = {
    Act.PICK_UP: (CARRIED, frozenset[Kind]()),
    Act.PUT_ON: (CARRIED, _FLOORS),
    Act.PUT_IN: (CARRIED, frozenset({Kind.BOWL})),
    Act.PUT_AT: (CARRIED, frozenset(Kind)),
    Act.PUSH_TO: (CARRIED, frozenset({Kind.PAD})),
    Act.OPEN: (frozenset({Kind.DRAWER}), frozenset[Kind]()),
    Act.PRESS: (frozenset({Kind.BUTTON}), frozenset[Kind]()),
    Act.COUNT_ON: (CARRIED, PADS),
}
"""The kinds that can be subject and object."""


@dataclasses.dataclass(frozen=True)
class Goal:
    """What a sentence says."""

    act: Act
    subject: Description
    objects: tuple[Description, ...] = ()
    relation: Relation | None = None
    """Of `PUT_AT`: to the objects."""
    view: View = View.ARM
    """Whose left and right, in the descriptions too."""
    quantity: Quantity | None = None
    """Of `COUNT_ON`."""
    takes_back: bool = False
    """Whether the sentence also asks that the subject be left alone."""


@dataclasses.dataclass(frozen=True)
class Aim:
    """A goal in a scene: things by their names."""

    act: Act
    subjects: tuple[str, ...] = ()
    """One thing; for `COUNT_ON` all that are counted."""
    objects: tuple[str, ...] = ()
    relation: Relation | None = None
    view: View = View.ARM
    count: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The things it is about, what is acted on first."""
        return (*self.subjects, *self.objects)


REFUSAL = Aim(Act.REFUSE)


def ground(goal: Goal, scene: Scene) -> Aim:
    """What a goal comes to in a scene, as it stands at the beginning."""
    objects = [pick_out(description, scene.things, goal.view) for description in goal.objects]
    found = [thing for thing in objects if thing is not None]
    if goal.takes_back or len(found) < len(objects):
        return REFUSAL
    names = tuple(thing.name for thing in found)
    if goal.act is Act.COUNT_ON:
        counted = denote(goal.subject, scene.things, goal.view, Level.PLAIN)
        wanted = {Quantity.ALL: len(counted), Quantity.SINGLE: 1, Quantity.NONE: 0, None: 0}[goal.quantity]
        subjects = tuple(thing.name for thing in counted)
        return Aim(goal.act, subjects, names, count=wanted) if counted and _fits(goal.act, counted, found) else REFUSAL
    subject = pick_out(goal.subject, scene.things, goal.view)
    if subject is None or subject in found or not _fits(goal.act, [subject], found):
        return REFUSAL
    return Aim(goal.act, (subject.name,), names, goal.relation, goal.view)


def _fits(act: Act, subjects: list[Thing], objects: list[Thing]) -> bool:
    as_subject, as_object = _MAKES_SENSE[act]
    return all(t.kind in as_subject for t in subjects) and all(t.kind in as_object for t in objects)
