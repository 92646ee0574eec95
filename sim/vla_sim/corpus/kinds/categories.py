"""Categories: what an emblem shows, what sort of thing that is, and which of several is of a sort."""

from __future__ import annotations

from vla_sim.corpus.concepts import CATEGORIES
from vla_sim.corpus.drawings import PALETTE, Item, Sheet, draw_items
from vla_sim.corpus.draws import Draft, Draw, drawn_draft
from vla_sim.corpus.items import SHAPES, any_items, different_colours
from vla_sim.corpus.stencils import EMBLEMS
from vla_sim.corpus.wordings import Wording, article

EMBLEM = Wording(
    "emblem",
    ("what does the {colour} emblem show?", "what is the {colour} thing in the drawing?"),
    ("what is drawn in {colour}?",),
)
SORT = Wording(
    "category_of",
    ("is it a fruit, a tool, an animal or a vehicle?", "what sort of thing is drawn: fruit, tool, animal or vehicle?"),
    ("which is it: fruit, tool, animal or vehicle?",),
)
MEMBER = Wording(
    "category_member",
    ("which thing is {category}?", "name the thing that is {category}", "which of these is {category}?"),
    ("what in the drawing is {category}?",),
)
WORDINGS = (EMBLEM, SORT, MEMBER)


def make(draw: Draw) -> Draft:
    """One of the questions in turn."""
    return draw.cycle((_emblem, _sort, _member))(draw)


def _emblem(draw: Draw) -> Draft:
    wanted = draw.cycle(EMBLEMS)
    others = [emblem for emblem in EMBLEMS if emblem != wanted]
    names = [wanted, *(str(e) for e in draw.generator.permutation(others)[: draw.one_of(range(4))])]
    items = different_colours(draw.generator, names)
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator))
    slots = {"colour": items[0].colour}
    return drawn_draft(draw, EMBLEM, slots, draw.ask(EMBLEM, **slots), wanted, drawing)


def _sort(draw: Draw) -> Draft:
    wanted = draw.cycle(list(CATEGORIES))
    items = [Item(draw.one_of(CATEGORIES[wanted]), draw.one_of(list(PALETTE)))]
    items += any_items(draw.generator, draw.one_of(range(3)), names=SHAPES)
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator))
    return drawn_draft(draw, SORT, {}, draw.ask(SORT), wanted, drawing)


def _member(draw: Draw) -> Draft:
    category = draw.cycle(list(CATEGORIES))
    wanted = draw.cycle(CATEGORIES[category])
    items = different_colours(draw.generator, [wanted, *one_of_each(draw, category)])
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator))
    slots = {"category": article(category)}
    return drawn_draft(draw, MEMBER, slots, draw.ask(MEMBER, **slots), wanted, drawing)


def one_of_each(draw: Draw, category: str) -> list[str]:
    """One or more emblems, each of another category than this."""
    others = [draw.one_of(CATEGORIES[other]) for other in CATEGORIES if other != category]
    return [others[i] for i in draw.generator.permutation(len(others))[: draw.one_of((1, 2, 3))]]
