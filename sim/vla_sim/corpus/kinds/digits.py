"""Digits: which one it is, which one has a colour, and a row of them read aloud."""

from __future__ import annotations

from vla_sim.corpus.concepts import NUMBERS
from vla_sim.corpus.drawings import MIN_DIGIT_SIDE, PALETTE, Item, Place, Sheet, draw_items
from vla_sim.corpus.draws import Draft, Draw, drawn_draft
from vla_sim.corpus.items import SHAPES, any_items, different_colours
from vla_sim.corpus.wordings import Wording

DIGITS = NUMBERS[:10]
WHICH = Wording(
    "digit_which",
    ("which digit is this?", "what digit is shown?", "read the digit"),
    ("what digit do you see?", "name the digit"),
)
COLOURED = Wording(
    "digit_coloured",
    ("which digit is {colour}?", "what is the {colour} digit?", "read the {colour} digit"),
    ("name the {colour} digit",),
)
ROW = Wording(
    "digit_row",
    ("read the digits from left to right", "which digits are these, from left to right?"),
    ("name the digits from left to right",),
)
WORDINGS = (WHICH, COLOURED, ROW)


def make(draw: Draw) -> Draft:
    """One of the questions in turn."""
    return draw.cycle((_which, _coloured, _row))(draw)


def _which(draw: Draw) -> Draft:
    wanted = draw.cycle(DIGITS)
    items = [Item(wanted, draw.one_of(list(PALETTE)), is_tile=draw.generator.random() < 0.4)]
    items += any_items(draw.generator, draw.one_of(range(3)), names=SHAPES)
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator, is_large=True))
    return drawn_draft(draw, WHICH, {}, draw.ask(WHICH), wanted, drawing)


def _coloured(draw: Draw) -> Draft:
    wanted = draw.cycle(DIGITS)
    others = [digit for digit in DIGITS if digit != wanted]
    names = [wanted, *(str(d) for d in draw.generator.permutation(others)[: draw.one_of((1, 2, 3))])]
    items = different_colours(draw.generator, names, is_tile=draw.generator.random() < 0.4)
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator, is_large=True))
    slots = {"colour": items[0].colour}
    return drawn_draft(draw, COLOURED, slots, draw.ask(COLOURED, **slots), wanted, drawing)


def _row(draw: Draw) -> Draft:
    number = draw.cycle((2, 3))
    names = [draw.cycle(DIGITS), *(draw.one_of(DIGITS) for _ in range(number - 1))]
    items = [Item(name, draw.one_of(list(PALETTE))) for name in names]
    sheet = Sheet.draw(draw.generator, is_large=True)
    drawing = draw_items(draw.generator, items, sheet, row_of_places(draw, sheet, number))
    return drawn_draft(draw, ROW, {}, draw.ask(ROW), " ".join(names), drawing)


def row_of_places(draw: Draw, sheet: Sheet, number: int) -> list[Place]:
    """Squares of one size, side by side, anywhere on the paper."""
    generator, gap = draw.generator, 4
    side = int(generator.integers(MIN_DIGIT_SIDE, (sheet.width - gap) // number - gap))
    side = min(side, sheet.height - 2 * gap)
    pitch = side + gap
    row = int(generator.integers(gap, sheet.height - side - gap + 1))
    column = int(generator.integers(gap, sheet.width - number * pitch + 1))
    return [Place(row, column + index * pitch, side) for index in range(number)]
