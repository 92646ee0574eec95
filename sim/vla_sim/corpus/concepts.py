"""The concepts that this corpus alone teaches: no instruction of the tabletop ever speaks of them.

A policy that was trained on robot data and on this corpus, and then follows "put the red block on the tile that is two
plus one" or "move the fruit to the sum of one and three", has carried them over: that is how transfer is measured.
"""

from __future__ import annotations

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
"""Number words; the first ten are also drawn as digits."""

ARITHMETIC = ("plus", "minus", "sum", "difference", "digit", "number")

SYMBOLS = ("circle", "triangle", "star", "heart", "cross", "diamond", "ring", "moon", "arrow")

CATEGORIES: dict[str, tuple[str, ...]] = {
    "fruit": ("apple", "banana", "cherry"),
    "tool": ("hammer", "saw", "wrench"),
    "animal": ("fish", "cat", "rabbit"),
    "vehicle": ("car", "boat", "rocket"),
}
"""From a category to what is drawn of it."""

COLOUR_SYNONYMS: dict[str, tuple[str, ...]] = {
    "red": ("crimson", "scarlet"),
    "green": ("emerald",),
    "blue": ("azure", "navy"),
    "yellow": ("golden",),
    "purple": ("violet",),
}
KIND_SYNONYMS: dict[str, tuple[str, ...]] = {
    "block": ("brick", "dice"),
    "pad": ("mat", "coaster"),
    "bowl": ("basin",),
    "button": ("knob",),
}
"""From the word that robot instructions use to others for the same."""

DRAWN_COLOURS = ("orange", "black")
"""Colours of drawings that no thing on the table has."""


def category_of(emblem: str) -> str:
    """The category of what an emblem shows."""
    return next(category for category, emblems in CATEGORIES.items() if emblem in emblems)


def held_out_words() -> frozenset[str]:
    """Every word that occurs in this corpus and never in robot data."""
    synonyms = (*COLOUR_SYNONYMS.values(), *KIND_SYNONYMS.values())
    words = [*NUMBERS, *ARITHMETIC, *SYMBOLS, *CATEGORIES, *DRAWN_COLOURS]
    words += [word for group in (*CATEGORIES.values(), *synonyms) for word in group]
    return frozenset(words)
