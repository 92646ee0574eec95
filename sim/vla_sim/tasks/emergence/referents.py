"""What a tile is called, and which tile of a table words mean.

    tile, concept ─► call ─► "the tile that is two plus one" ─► read ─► drawing: three ─► denote ─► tiles

Robot data calls tiles by `Concept.COLOUR` alone. All other concepts occur in web data and in evaluations, and in no
instruction of a demonstration.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from vla.interfaces import TemplateSet
from vla_sim.corpus.concepts import CATEGORIES, COLOUR_SYNONYMS, KIND_SYNONYMS, NUMBERS, category_of
from vla_sim.worlds.scene import COLOURS
from vla_sim.worlds.tile_drawings import DIGITS, EMBLEMS, SYMBOLS


class Concept(enum.Enum):
    """How a tile is called."""

    COLOUR = "colour"
    """By the colour of its frame: the only one in robot data."""
    DIGIT = "digit"
    SUM = "sum"
    SYMBOL = "symbol"
    CATEGORY = "category"
    """Of what is drawn on it."""
    RELATION = "relation"
    """By where it is to the two others, as the picture shows them."""
    SYNONYM = "synonym"
    """By another word for its colour."""


WEB_CONCEPTS = tuple(concept for concept in Concept if concept is not Concept.COLOUR)
"""In web data alone."""
PLACES = ("left", "middle", "right")
"""Of three tiles in a picture, from left to right."""

TRAINING: dict[Concept, tuple[str, ...]] = {
    Concept.COLOUR: ("the {colour} tile", "the {colour} card", "the tile that is {colour}"),
    Concept.DIGIT: ("the {digit}", "the number {digit}", "the tile with the {digit}"),
    Concept.SUM: ("the sum of {first} and {second}", "the tile that is {first} plus {second}"),
    Concept.SYMBOL: ("the {symbol}", "the tile with the {symbol}"),
    Concept.CATEGORY: ("the {category}", "the tile with the {category}"),
    Concept.RELATION: ("the {place} tile", "the tile at the {place}"),
    Concept.SYNONYM: ("the {synonym} tile", "the {synonym} mat"),
}
"""What tiles are called; `mat` is another word for them that only web data says."""
HELD_OUT: dict[Concept, tuple[str, ...]] = {
    Concept.COLOUR: ("the card that is {colour}",),
    Concept.DIGIT: ("the card with the {digit}",),
    Concept.SUM: ("the card that is {first} plus {second}",),
    Concept.SYMBOL: ("the card with the {symbol}",),
    Concept.CATEGORY: ("the card with the {category}",),
    Concept.RELATION: ("the card at the {place}",),
    Concept.SYNONYM: ("the {synonym} card",),
}
"""For testing only; every word is also in some training phrase."""

SYNONYM_OF = {word: plain for plain, words in COLOUR_SYNONYMS.items() for word in words}
BRICKS = KIND_SYNONYMS["block"][:1]
"""Other words for a block."""


@runtime_checkable
class Tile(Protocol):
    """What can be told of a tile."""

    @property
    def colour(self) -> str:
        """Of its frame."""
        ...

    @property
    def drawing(self) -> str: ...

    @property
    def y(self) -> float:
        """In the base frame, m: the camera stands opposite the arm, and sees what is smaller farther left."""
        ...


@dataclasses.dataclass(frozen=True)
class Meaning:
    """What words say of a tile."""

    attribute: str
    """`colour`, `drawing`, `category` or `place`."""
    value: str


def call(
    tile: Tile, tiles: Sequence[Tile], concept: Concept, templates: TemplateSet, generator: np.random.Generator
) -> str:
    """One of the ways to call a tile by a concept.

    Raises:
        ValueError: if it has none, as a star has no digit.
    """
    choices = TRAINING[concept] if templates is TemplateSet.TRAINING else HELD_OUT[concept]
    template = choices[int(generator.integers(len(choices)))]
    return template.format(**_slots(tile, tiles, concept, generator))


def _slots(tile: Tile, tiles: Sequence[Tile], concept: Concept, generator: np.random.Generator) -> dict[str, str]:
    if not can_call(tile, concept):
        raise ValueError(f"a tile with '{tile.drawing}' cannot be called by {concept.value}")
    match concept:
        case Concept.COLOUR:
            return {"colour": tile.colour}
        case Concept.SUM:
            total = NUMBERS.index(tile.drawing)
            first = int(generator.integers(1, total))
            return {"first": NUMBERS[first], "second": NUMBERS[total - first]}
        case Concept.RELATION:
            return {"place": PLACES[place_of(tile, tiles)]}
        case Concept.CATEGORY:
            return {"category": category_of(tile.drawing)}
        case Concept.SYNONYM:
            words = COLOUR_SYNONYMS[tile.colour]
            return {"synonym": words[int(generator.integers(len(words)))]}
        case Concept.DIGIT | Concept.SYMBOL:
            return {concept.value: tile.drawing}


def can_call(tile: Tile, concept: Concept) -> bool:
    """Whether a tile can be called by a concept."""
    match concept:
        case Concept.DIGIT:
            return tile.drawing in DIGITS
        case Concept.SUM:
            return tile.drawing in DIGITS[1:]
        case Concept.SYMBOL:
            return tile.drawing in SYMBOLS
        case Concept.CATEGORY:
            return tile.drawing in EMBLEMS
        case Concept.COLOUR | Concept.RELATION | Concept.SYNONYM:
            return True


def place_of(tile: Tile, tiles: Sequence[Tile]) -> int:
    """How many of the others are farther left in the picture."""
    return sum(other.y < tile.y for other in tiles)


def denote[T: Tile](meaning: Meaning, tiles: Sequence[T]) -> list[T]:
    """The tiles that words fit."""
    match meaning.attribute:
        case "colour":
            return [tile for tile in tiles if tile.colour == meaning.value]
        case "drawing":
            return [tile for tile in tiles if tile.drawing == meaning.value]
        case "category":
            return [tile for tile in tiles if tile.drawing in CATEGORIES[meaning.value]]
        case _:
            return [tile for tile in tiles if PLACES[place_of(tile, tiles)] == meaning.value]


def read(phrase: str) -> Meaning | None:
    """What a phrase says of a tile; None if it is none that a tile is called."""
    words = phrase.split()
    numbers = [word for word in words if word in NUMBERS]
    if not re.match(r"the\b", phrase) or not words[1:]:
        return None
    if len(numbers) == 2:
        return Meaning("drawing", NUMBERS[sum(map(NUMBERS.index, numbers))])
    for word in reversed(words):
        if word in (*NUMBERS, *SYMBOLS):
            return Meaning("drawing", word)
        if word in CATEGORIES:
            return Meaning("category", word)
        if word in PLACES:
            return Meaning("place", word)
        if word in COLOURS or word in SYNONYM_OF:
            return Meaning("colour", SYNONYM_OF.get(word, word))
    return None
