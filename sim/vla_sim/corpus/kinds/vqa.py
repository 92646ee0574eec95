"""Questions with a short answer: is it there, what colour is it, is it on that; each answer as often as the others."""

from __future__ import annotations

import math

from vla_sim.corpus.drawings import PALETTE, Sheet, draw_items
from vla_sim.corpus.draws import Draft, Draw, drawn_draft, tabletop_draft
from vla_sim.corpus.items import PICTOGRAMS, any_items, different_names
from vla_sim.corpus.still_tables import KINDS
from vla_sim.corpus.tabletop_pictures import Sight, TabletopPicture
from vla_sim.corpus.wordings import Wording, article
from vla_sim.worlds.scene import BOWL_RADIUS_M, COLOURS, PAD_SIZE_M, Kind

EXISTS = Wording(
    "exists_table",
    ("is there {thing} on the table?", "do you see {thing} on the table?", "does the table have {thing} on it?"),
    ("can {thing} be seen on the table?", "is {thing} on the table?"),
)
COLOUR = Wording(
    "colour_table",
    ("what colour is the {kind} on the table?", "which colour does the {kind} on the table have?"),
    ("of which colour is the {kind} on the table?",),
)
ON = Wording(
    "on_table",
    (
        "is the {thing} on the {place} now?",
        "does the {thing} lie on the {place}?",
        "has the {place} the {thing} on it?",
    ),
    ("is the {thing} lying on the {place}?",),
)
DRAWN_EXISTS = Wording(
    "exists_drawing",
    ("is there {thing} in the drawing?", "do you see {thing} in the drawing?", "is {thing} drawn here?"),
    ("does the drawing show {thing}?",),
)
DRAWN_COLOUR = Wording(
    "colour_drawing",
    ("what colour is the {thing} in the drawing?", "which colour does the drawn {thing} have?"),
    ("in which colour is the {thing} drawn?",),
)
WORDINGS = (EXISTS, COLOUR, ON, DRAWN_EXISTS, DRAWN_COLOUR)
YES_NO = ("yes", "no")
_BESIDE_M = 0.03
"""A block that is neither on a place nor this far beside it is not asked about."""
_LOW_M = 0.03


def make(draw: Draw) -> Draft | None:
    """One of the questions in turn."""
    return draw.cycle((_exists, _colour, _on, _drawn_exists, _drawn_colour))(draw)


def _exists(draw: Draw) -> Draft | None:
    wanted, kind, colour = draw.cycle(YES_NO), draw.one_of(KINDS), draw.one_of(list(COLOURS))
    name = f"{colour} {kind.value}"
    for picture in draw.pictures():
        if wanted == "no" and name not in picture.names:
            return _answered(draw, EXISTS, picture, wanted, thing=article(name))
        if wanted == "yes" and any(sight.name == name for sight in picture.clear):
            return _answered(draw, EXISTS, picture, wanted, thing=article(name))
    return None


def _colour(draw: Draw) -> Draft | None:
    wanted, kind = draw.cycle(list(COLOURS)), draw.one_of(KINDS)
    for picture in draw.pictures():
        of_kind = [sight for sight in picture.sights if sight.kind is kind]
        if len(of_kind) == 1 and of_kind[0].is_clear and of_kind[0].colour == wanted:
            return _answered(draw, COLOUR, picture, wanted, kind=kind.value)
    return None


def _on(draw: Draw) -> Draft | None:
    wanted = draw.cycle(YES_NO)
    for picture in draw.pictures():
        if not picture.is_plain:
            continue
        blocks = [s for s in picture.clear if s.kind is Kind.BLOCK and s.name != picture.held]
        places = [s for s in picture.clear if s.kind in (Kind.PAD, Kind.BOWL)]
        pairs = [(b, p) for b in blocks for p in places if _is_on(b, p) is (wanted == "yes")]
        if pairs:
            block, place = draw.one_of(pairs)
            return _answered(draw, ON, picture, wanted, thing=block.name, place=place.name)
    return None


def _is_on(block: Sight, place: Sight) -> bool | None:
    """Whether a block lies on a pad or in a bowl; None if it is hard to say."""
    x, y, _ = block.position - place.position
    reach = BOWL_RADIUS_M if place.kind is Kind.BOWL else PAD_SIZE_M / 2
    if max(abs(x), abs(y)) < reach - 0.015 and block.position[2] < _LOW_M + (0.015 if place.kind is Kind.BOWL else 0):
        return True
    return False if math.hypot(x, y) > reach * math.sqrt(2) + _BESIDE_M else None


def _answered(draw: Draw, wording: Wording, picture: TabletopPicture, answer: str, **slots: str) -> Draft:
    return tabletop_draft(wording, slots, draw.ask(wording, **slots), answer, picture)


def _drawn_exists(draw: Draw) -> Draft:
    wanted, name, colour = draw.cycle(YES_NO), draw.one_of(PICTOGRAMS), draw.one_of(list(PALETTE))
    items = any_items(draw.generator, draw.one_of(range(2, 6)), no_pair=(colour, name))
    if wanted == "yes":
        items[0] = type(items[0])(name, colour)
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator))
    slots = {"thing": article(f"{colour} {name}")}
    return drawn_draft(draw, DRAWN_EXISTS, slots, draw.ask(DRAWN_EXISTS, **slots), wanted, drawing)


def _drawn_colour(draw: Draw) -> Draft:
    wanted = draw.cycle(list(PALETTE))
    items = different_names(draw.generator, draw.one_of(range(1, 6)))
    items[0] = type(items[0])(items[0].name, wanted)
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator))
    slots = {"thing": items[0].name}
    return drawn_draft(draw, DRAWN_COLOUR, slots, draw.ask(DRAWN_COLOUR, **slots), wanted, drawing)
