"""Symbols: which one has a colour, and which way an arrow points."""

from __future__ import annotations

from vla_sim.corpus.drawings import PALETTE, Item, Sheet, draw_items
from vla_sim.corpus.draws import Draft, Draw, drawn_draft
from vla_sim.corpus.items import SHAPES, any_items, different_colours
from vla_sim.corpus.stencils import ARROWS
from vla_sim.corpus.wordings import Wording

COLOURED = Wording(
    "symbol_coloured",
    ("which symbol is {colour}?", "what is the {colour} symbol?", "name the {colour} symbol"),
    ("what symbol is drawn in {colour}?",),
)
ARROW = Wording(
    "symbol_arrow",
    ("which way does the arrow point?", "where does the arrow point?", "in which direction does the arrow go?"),
    ("to which side does the arrow point?",),
)
WORDINGS = (COLOURED, ARROW)


def make(draw: Draw) -> Draft:
    """One of the questions in turn."""
    return draw.cycle((_coloured, _arrow))(draw)


def _coloured(draw: Draw) -> Draft:
    wanted = draw.cycle(SHAPES)
    others = [shape for shape in SHAPES if shape != wanted]
    names = [wanted, *(str(s) for s in draw.generator.permutation(others)[: draw.one_of((1, 2, 3, 4))])]
    items = different_colours(draw.generator, names)
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator))
    slots = {"colour": items[0].colour}
    return drawn_draft(draw, COLOURED, slots, draw.ask(COLOURED, **slots), wanted, drawing)


def _arrow(draw: Draw) -> Draft:
    wanted = draw.cycle(ARROWS)
    items = [Item(f"arrow {wanted}", draw.one_of(list(PALETTE)))]
    items += any_items(draw.generator, draw.one_of(range(4)), names=SHAPES)
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator))
    return drawn_draft(draw, ARROW, {}, draw.ask(ARROW), wanted, drawing)
