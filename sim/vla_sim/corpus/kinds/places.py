"""Points and boxes of what words refer to: by colour and kind, by what a tile bears, by category, by a sum."""

from __future__ import annotations

from vla_sim.corpus.concepts import CATEGORIES, NUMBERS
from vla_sim.corpus.drawings import Drawing, Drawn, Item, Sheet, draw_items
from vla_sim.corpus.draws import NUM_CHAPTERS_TRIED, Draft, Draw, drawn_draft, tabletop_draft
from vla_sim.corpus.items import any_items, different_colours
from vla_sim.corpus.kinds.arithmetic import RESULTS, summands, tiles_with
from vla_sim.corpus.kinds.categories import one_of_each
from vla_sim.corpus.kinds.digits import DIGITS
from vla_sim.corpus.locations import box_words, point_words
from vla_sim.corpus.still_tables import KINDS
from vla_sim.corpus.tabletop_pictures import Sight
from vla_sim.corpus.wordings import Wording
from vla_sim.worlds.scene import COLOURS

POINT = Wording(
    "point_table",
    ("point to the {thing} on the table", "where is the {thing} on the table?", "show the {thing} on the table"),
    ("put your finger on the {thing} on the table",),
)
BOX = Wording(
    "box_table",
    ("draw a box around the {thing} on the table", "frame the {thing} on the table", "box the {thing} on the table"),
    ("give the box of the {thing} on the table",),
)
POINT_DRAWN = Wording(
    "point_drawing",
    ("point to {referent} in the drawing", "where is {referent} in the drawing?", "show {referent} in the drawing"),
    ("put your finger on {referent} in the drawing",),
)
BOX_DRAWN = Wording(
    "box_drawing",
    ("draw a box around {referent} in the drawing", "frame {referent} in the drawing"),
    ("give the box of {referent} in the drawing",),
)
POINT_WORDINGS = (POINT, POINT_DRAWN)
BOX_WORDINGS = (BOX, BOX_DRAWN)


def make_point(draw: Draw) -> Draft | None:
    """A point on a table or in a drawing."""
    return draw.cycle((_point_table, _point_drawing))(draw)


def make_box(draw: Draw) -> Draft | None:
    """A box on a table or in a drawing."""
    return draw.cycle((_box_table, _box_drawing))(draw)


def _point_table(draw: Draw) -> Draft | None:
    return _on_table(draw, POINT)


def _box_table(draw: Draw) -> Draft | None:
    return _on_table(draw, BOX)


def _on_table(draw: Draw, wording: Wording) -> Draft | None:
    colour, kind = draw.cycle(list(COLOURS)), draw.one_of(KINDS)
    for kinds, num_chapters in (((kind,), 1), (KINDS, NUM_CHAPTERS_TRIED)):
        for picture in draw.pictures(num_chapters):
            able = [s for s in picture.clear if s.is_whole or wording is POINT]
            fitting = [s for s in able if s.colour == colour and s.kind in kinds]
            if fitting:
                sight = draw.one_of(fitting)
                slots = {"thing": sight.name}
                answer = place_of(sight, picture.image.shape[0], picture.image.shape[1], wording is BOX)
                return tabletop_draft(wording, slots, draw.ask(wording, **slots), answer, picture)
    return None


def place_of(seen: Sight | Drawn, height: int, width: int, is_box: bool) -> str:
    """Its location words."""
    return box_words(seen.box, height, width) if is_box else point_words(seen.point, height, width)


# --------------------------------------------------------------------------- in drawings


def _point_drawing(draw: Draw) -> Draft:
    return _in_drawing(draw, POINT_DRAWN)


def _box_drawing(draw: Draw) -> Draft:
    return _in_drawing(draw, BOX_DRAWN)


def _in_drawing(draw: Draw, wording: Wording) -> Draft:
    referent, items = draw.cycle((_named, _digit, _sum, _category))(draw)
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator, is_large=True))
    slots = {"referent": referent}
    answer = _place_of_first(drawing, wording is BOX_DRAWN)
    return drawn_draft(draw, wording, slots, draw.ask(wording, **slots), answer, drawing)


def _place_of_first(drawing: Drawing, is_box: bool) -> str:
    height, width, _ = drawing.image.shape
    return place_of(drawing.drawn[0], height, width, is_box)


def _named(draw: Draw) -> tuple[str, list[Item]]:
    items = any_items(draw.generator, draw.one_of(range(2, 7)))
    return f"the {items[0].words}", items


def _digit(draw: Draw) -> tuple[str, list[Item]]:
    digit = draw.cycle(DIGITS)
    return f"the tile with the digit {digit}", tiles_with(draw, digit)


def _sum(draw: Draw) -> tuple[str, list[Item]]:
    result = draw.cycle(RESULTS)
    first, second = summands(draw, result)
    said = draw.one_of((f"the tile that is {first} plus {second}", f"the sum of {first} and {second}"))
    return said, tiles_with(draw, NUMBERS[result])


def _category(draw: Draw) -> tuple[str, list[Item]]:
    category = draw.cycle(list(CATEGORIES))
    names = [draw.one_of(CATEGORIES[category]), *one_of_each(draw, category)]
    return f"the {category}", different_colours(draw.generator, names)
