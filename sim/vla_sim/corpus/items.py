"""Which pictograms to draw together: any, none of some, or exactly so many of one sort."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from vla_sim.corpus.concepts import SYMBOLS
from vla_sim.corpus.drawings import PALETTE, Item
from vla_sim.corpus.stencils import EMBLEMS

SHAPES = tuple(symbol for symbol in SYMBOLS if symbol != "arrow")
PICTOGRAMS = (*SHAPES, *EMBLEMS)


def any_items(
    generator: np.random.Generator,
    number: int,
    *,
    names: Collection[str] = PICTOGRAMS,
    no_name: str = "",
    no_colour: str = "",
    no_pair: tuple[str, str] = ("", ""),
) -> list[Item]:
    """Items of which no two look the same.

    Args:
        no_name: what none of them shows.
        no_colour: what none of them has.
        no_pair: a colour and a name that do not come together.
    """
    pairs = [
        (colour, name)
        for name in names
        for colour in PALETTE
        if name != no_name and colour != no_colour and (colour, name) != no_pair
    ]
    return [Item(pairs[i][1], pairs[i][0]) for i in generator.permutation(len(pairs))[:number]]


def different_names(generator: np.random.Generator, number: int, names: Collection[str] = PICTOGRAMS) -> list[Item]:
    """Items each of which shows something else, in any colours."""
    chosen = generator.permutation(sorted(names))[:number]
    return [Item(str(name), _any_colour(generator)) for name in chosen]


def different_colours(generator: np.random.Generator, names: list[str], *, is_tile: bool = False) -> list[Item]:
    """Items with these names, each in a colour of its own."""
    colours = generator.permutation(list(PALETTE))[: len(names)]
    return [Item(name, str(colour), is_tile) for name, colour in zip(names, colours, strict=True)]


def _any_colour(generator: np.random.Generator) -> str:
    return list(PALETTE)[int(generator.integers(len(PALETTE)))]
