"""What a sentence calls a thing, and which thing of a scene that is.

    "the block that is left of the blue pad"
     └ kind         └ relation  └ landmark        ─► denote ─► ("red block",)

A description picks out a thing when that thing clearly fits and no other does even loosely.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from vla_sim.tasks.grammar.relations import COMPARISON_MARGIN_M, COMPARISONS, FOOTPRINT_M, Level, Relation, View, holds
from vla_sim.worlds.scene import Kind, Thing


@dataclasses.dataclass(frozen=True)
class Description:
    """A noun phrase."""

    kind: Kind
    colour: str = ""
    """Empty where it is not said."""
    not_colours: tuple[str, ...] = ()
    """What it is said not to be: up to two."""
    relation: Relation | None = None
    landmarks: tuple[Description, ...] = ()
    """What the relation is to; these have a kind and perhaps a colour, no more."""


def plain(thing: Thing) -> Description:
    """A thing by its colour and kind."""
    return Description(thing.kind, thing.colour)


def pick_out(description: Description, things: Sequence[Thing], view: View = View.ARM) -> Thing | None:
    """The thing that a description means; None if there is none, or it might be another."""
    loosely = denote(description, things, view, Level.LOOSE)
    return loosely[0] if len(loosely) == 1 and denote(description, things, view, Level.CLEAR) == loosely else None


def denote(description: Description, things: Sequence[Thing], view: View, level: Level) -> list[Thing]:
    """Every thing that fits a description at a level; nothing fits if a landmark is not one thing alone."""
    fitting = [thing for thing in things if _is_called(description, thing)]
    if description.relation is None:
        return fitting
    landmarks = [pick_out(landmark, things) for landmark in description.landmarks]
    known = [landmark for landmark in landmarks if landmark is not None]
    if len(known) < len(landmarks):
        return []
    fitting = [thing for thing in fitting if thing not in known]
    if description.relation in COMPARISONS:
        return _extreme(description.relation, fitting, known[0], level)
    places = [(_middle(landmark), landmark.kind) for landmark in known]
    relation = description.relation
    return [t for t in fitting if holds(relation, _middle(t), places, view, level, FOOTPRINT_M[t.kind])]


def _is_called(description: Description, thing: Thing) -> bool:
    return (
        thing.kind is description.kind
        and description.colour in ("", thing.colour)
        and thing.colour not in description.not_colours
    )


def _extreme(relation: Relation, things: Sequence[Thing], landmark: Thing, level: Level) -> list[Thing]:
    """The nearest or farthest of several; loosely, those that come near to it."""
    sign = 1 if relation is Relation.NEAREST else -1
    scores = [sign * math.hypot(t.x - landmark.x, t.y - landmark.y) for t in things]
    if len(things) < 2:
        return []
    slack = COMPARISON_MARGIN_M if level is Level.LOOSE else 0.0
    return [t for t, score in zip(things, scores, strict=True) if score <= min(scores) + slack]


def _middle(thing: Thing) -> np.ndarray:
    return np.array([thing.x, thing.y])
