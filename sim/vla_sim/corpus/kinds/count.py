"""Counting: how many there are of a kind, a colour, or in all; the answer is a number word."""

from __future__ import annotations

from vla_sim.corpus.concepts import NUMBERS
from vla_sim.corpus.drawings import PALETTE, Item, Sheet, draw_items
from vla_sim.corpus.draws import Draft, Draw, drawn_draft, tabletop_draft
from vla_sim.corpus.items import PICTOGRAMS, any_items
from vla_sim.corpus.still_tables import KINDS
from vla_sim.corpus.tabletop_pictures import TabletopPicture
from vla_sim.corpus.wordings import Wording, plural
from vla_sim.worlds.scene import COLOURS

TABLE = Wording(
    "count_table",
    ("how many {things} are on the table?", "count the {things} on the table", "what is the number of {things} here?"),
    ("how many {things} do you see on the table?", "tell the number of {things} on the table"),
)
DRAWING = Wording(
    "count_drawing",
    ("how many {things} are in the drawing?", "count the {things} in the drawing", "how many {things} are drawn?"),
    ("tell the number of {things} in the drawing",),
)
WORDINGS = (TABLE, DRAWING)
MAX_ON_TABLE, MAX_DRAWN = 4, 5


def make(draw: Draw) -> Draft | None:
    """On a table, or in a drawing."""
    return draw.cycle((_table, _drawing))(draw)


def _table(draw: Draw) -> Draft | None:
    wanted = draw.cycle(range(MAX_ON_TABLE + 1))
    for picture in draw.pictures():
        if picture.is_plain:
            fitting = [things for things, number in counts(picture).items() if number == wanted]
            if fitting:
                slots = {"things": draw.one_of(fitting)}
                return tabletop_draft(TABLE, slots, draw.ask(TABLE, **slots), NUMBERS[wanted], picture)
    return None


def counts(picture: TabletopPicture) -> dict[str, int]:
    """How many are seen of each kind and of each colour, by how one says it."""
    seen = picture.clear
    kinds = {plural(kind.value): sum(sight.kind is kind for sight in seen) for kind in KINDS}
    colours = {f"{colour} things": sum(sight.colour == colour for sight in seen) for colour in COLOURS}
    return kinds | colours


def _drawing(draw: Draw) -> Draft:
    wanted, is_by_colour = draw.cycle(range(MAX_DRAWN + 1)), draw.cycle((True, False))
    name, colour = draw.one_of(PICTOGRAMS), draw.one_of(list(PALETTE))
    others = draw.one_of(range(0 if wanted else 1, max(2, 7 - wanted)))
    if is_by_colour:
        names = draw.generator.permutation(PICTOGRAMS)[:wanted]
        items = [Item(str(each), colour) for each in names]
        items += any_items(draw.generator, others, no_colour=colour)
    else:
        items = [Item(name, str(each)) for each in draw.generator.permutation(list(PALETTE))[:wanted]]
        items += any_items(draw.generator, others, no_name=name)
    slots = {"things": f"{colour} things" if is_by_colour else plural(name)}
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator))
    return drawn_draft(draw, DRAWING, slots, draw.ask(DRAWING, **slots), NUMBERS[wanted], drawing)
