"""Relations as the viewer sees them, between the middles of two things, where one direction clearly prevails.

On the table what is lower in the picture is in front, for things that stand on it; in a drawing it is below.
"""

from __future__ import annotations

from collections.abc import Sequence

from vla_sim.corpus.drawings import Sheet, draw_items
from vla_sim.corpus.draws import Draft, Draw, drawn_draft, tabletop_draft
from vla_sim.corpus.items import any_items
from vla_sim.corpus.kinds.vqa import YES_NO
from vla_sim.corpus.tabletop_pictures import Sight
from vla_sim.corpus.wordings import Wording
from vla_sim.worlds.scene import Kind

WHICH = Wording(
    "relation_which_table",
    (
        "where is the {thing}, seen from the {other}: left, right, in front or behind?",
        "is the {thing} left of, right of, in front of or behind the {other}?",
    ),
    ("on which side of the {other} is the {thing}: left, right, in front or behind?",),
)
WHETHER = Wording(
    "relation_whether_table",
    ("is the {thing} {side} the {other}?", "does the {thing} stand {side} the {other}?"),
    ("would you say that the {thing} is {side} the {other}?",),
)
DRAWN = Wording(
    "relation_drawing",
    (
        "is the {thing} left of, right of, above or below the {other}?",
        "where is the {thing}, seen from the {other}: left, right, above or below?",
    ),
    ("on which side of the {other} is the {thing}: left, right, above or below?",),
)
WORDINGS = (WHICH, WHETHER, DRAWN)
ON_TABLE = {"left": "left of", "right": "right of", "in front": "in front of", "behind": "behind"}
IN_DRAWING = ("left", "right", "above", "below")
_OPPOSITE = {"left": "right", "right": "left", "in front": "behind", "behind": "in front"}

MARGIN = 0.09
"""Of the picture's height that the middles are apart at least."""
PREVAILS = 1.8
"""How many times as far along the direction as across it."""
_STANDING_M = 0.03


def make(draw: Draw) -> Draft | None:
    """One of the questions in turn."""
    return draw.cycle((_which, _whether, _drawing))(draw)


def _which(draw: Draw) -> Draft | None:
    wanted = draw.cycle(list(ON_TABLE))
    return _about_pair(draw, WHICH, wanted, answer=wanted)


def _whether(draw: Draw) -> Draft | None:
    answer, side = draw.cycle(YES_NO), draw.cycle(list(ON_TABLE))
    truth = side if answer == "yes" else _OPPOSITE[side]
    return _about_pair(draw, WHETHER, truth, answer=answer, side=ON_TABLE[side])


def _about_pair(draw: Draw, wording: Wording, wanted: str, *, answer: str, **slots: str) -> Draft | None:
    for picture in draw.pictures():
        standing = [s for s in picture.clear if s.kind is not Kind.DRAWER and s.position[2] < _STANDING_M + 0.02]
        height = picture.image.shape[0]
        pairs = [(a, b) for a in standing for b in standing if a is not b and _side(a, b, height) == wanted]
        if pairs:
            thing, other = draw.one_of(pairs)
            slots = {"thing": thing.name, "other": other.name, **slots}
            return tabletop_draft(wording, slots, draw.ask(wording, **slots), answer, picture)
    return None


def _side(thing: Sight, other: Sight, height: int) -> str | None:
    # Of something high, a picture does not tell how far away it is.
    return side(thing.middle, other.middle, height, ("in front", "behind"))


def side(
    thing: tuple[float, float], other: tuple[float, float], height: int, names: Sequence[str] = ("below", "above")
) -> str | None:
    """Where a thing is, seen from another; None if no direction prevails.

    Args:
        thing: column and row of its middle, px.
        height: of the picture, px.
        names: of lower and higher in the picture.
    """
    right, down = (thing[0] - other[0]) / height, (thing[1] - other[1]) / height
    if max(abs(right), abs(down)) < MARGIN:
        return None
    if abs(right) > PREVAILS * abs(down):
        return "right" if right > 0 else "left"
    if abs(down) > PREVAILS * abs(right):
        return names[0] if down > 0 else names[1]
    return None


def _drawing(draw: Draw) -> Draft:
    wanted = draw.cycle(IN_DRAWING)
    while True:
        items = any_items(draw.generator, draw.one_of(range(2, 6)))
        drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator))
        height = drawing.image.shape[0]
        pairs = [(a, b) for a in drawing.drawn for b in drawing.drawn if side(a.middle, b.middle, height) == wanted]
        if pairs:
            thing, other = draw.one_of(pairs)
            slots = {"thing": thing.item.words, "other": other.item.words}
            return drawn_draft(draw, DRAWN, slots, draw.ask(DRAWN, **slots), wanted, drawing)
