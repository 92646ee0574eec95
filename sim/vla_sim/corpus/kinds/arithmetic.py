"""Sums and differences in words, with digits to look at or without."""

from __future__ import annotations

from vla_sim.corpus.concepts import NUMBERS
from vla_sim.corpus.drawings import Item, Sheet, draw_items
from vla_sim.corpus.draws import Draft, Draw, drawn_draft, text_draft
from vla_sim.corpus.items import different_colours
from vla_sim.corpus.kinds.digits import DIGITS
from vla_sim.corpus.wordings import Wording

SUM = Wording(
    "sum",
    (
        "what is {first} plus {second}?",
        "what is the sum of {first} and {second}?",
        "{first} plus {second} is",
        "add {second} to {first}",
    ),
    ("how much is {first} plus {second}?", "tell the sum of {first} and {second}"),
)
DIFFERENCE = Wording(
    "minus",
    ("what is {first} minus {second}?", "take {second} away from {first}", "{first} minus {second} is"),
    ("how much is {first} minus {second}?",),
)
SHOWN = Wording(
    "sum_shown",
    ("what is the sum of the digits shown?", "add the digits in the drawing", "what do the digits make together?"),
    ("how much are the digits shown together?",),
)
COLOURED = Wording(
    "sum_coloured",
    ("what is the {first} digit plus the {second} digit?", "add the {first} digit and the {second} digit"),
    ("how much is the {first} digit plus the {second} digit?",),
)
WHICH_TILE = Wording(
    "sum_tile",
    ("what colour is the tile that is {first} plus {second}?", "which colour has the sum of {first} and {second}?"),
    ("of which colour is the tile that is {first} plus {second}?",),
)
WORDINGS = (SUM, DIFFERENCE, SHOWN, COLOURED, WHICH_TILE)
RESULTS = range(10)
"""Every result is wanted equally often."""


def make(draw: Draw) -> Draft:
    """One of the questions in turn."""
    return draw.cycle((_sum, _difference, _shown, _coloured, _which_tile))(draw)


def summands(draw: Draw, result: int) -> tuple[str, str]:
    """Two numbers that make it, in words."""
    first = int(draw.generator.integers(0, result + 1))
    return NUMBERS[first], NUMBERS[result - first]


def _sum(draw: Draw) -> Draft:
    result = draw.cycle(RESULTS)
    first, second = summands(draw, result)
    slots = {"first": first, "second": second}
    return text_draft(draw, SUM, slots, draw.ask(SUM, **slots), NUMBERS[result])


def _difference(draw: Draw) -> Draft:
    result = draw.cycle(RESULTS)
    second = int(draw.generator.integers(0, len(NUMBERS) - result))
    slots = {"first": NUMBERS[result + second], "second": NUMBERS[second]}
    return text_draft(draw, DIFFERENCE, slots, draw.ask(DIFFERENCE, **slots), NUMBERS[result])


def _shown(draw: Draw) -> Draft:
    result = draw.cycle(RESULTS)
    items = different_colours(draw.generator, list(summands(draw, result)), is_tile=draw.one_of((False, True)))
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator, is_large=True))
    return drawn_draft(draw, SHOWN, {}, draw.ask(SHOWN), NUMBERS[result], drawing)


def _coloured(draw: Draw) -> Draft:
    result = draw.cycle(RESULTS)
    names = [*summands(draw, result), draw.one_of(DIGITS)]
    items = different_colours(draw.generator, names, is_tile=draw.one_of((False, True)))
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator, is_large=True))
    slots = {"first": items[0].colour, "second": items[1].colour}
    return drawn_draft(draw, COLOURED, slots, draw.ask(COLOURED, **slots), NUMBERS[result], drawing)


def _which_tile(draw: Draw) -> Draft:
    result = draw.cycle(RESULTS)
    items = tiles_with(draw, NUMBERS[result])
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator, is_large=True))
    first, second = summands(draw, result)
    slots = {"first": first, "second": second}
    return drawn_draft(draw, WHICH_TILE, slots, draw.ask(WHICH_TILE, **slots), items[0].colour, drawing)


def tiles_with(draw: Draw, digit: str) -> list[Item]:
    """Tiles with different digits and colours; the first one bears `digit`."""
    others = [other for other in DIGITS if other != digit]
    names = [digit, *(str(d) for d in draw.generator.permutation(others)[: draw.one_of((1, 2, 3))])]
    return different_colours(draw.generator, names, is_tile=True)
