"""Answers without a picture, worked out from the words. Each function says whether one is right."""

from __future__ import annotations

import re

from vla_sim.corpus.checks.tabletop_answers import Slots, about
from vla_sim.corpus.concepts import CATEGORIES, COLOUR_SYNONYMS, KIND_SYNONYMS, NUMBERS


def total(slots: Slots, answer: str) -> bool:
    """Of two numbers."""
    return NUMBERS.index(slots["first"]) + NUMBERS.index(slots["second"]) == NUMBERS.index(answer)


def minus(slots: Slots, answer: str) -> bool:
    """Of two numbers."""
    return NUMBERS.index(slots["first"]) - NUMBERS.index(slots["second"]) == NUMBERS.index(answer)


def number_after(slots: Slots, answer: str) -> bool:
    """One more."""
    return NUMBERS.index(slots["number"]) + 1 == NUMBERS.index(answer)


def is_a(slots: Slots, answer: str) -> bool:
    """Whether it is of the category."""
    return answer == ("yes" if _bare(slots["thing"]) in CATEGORIES[_bare(slots["category"])] else "no")


def sort_of(slots: Slots, answer: str) -> bool:
    """It is of the category."""
    return _bare(slots["thing"]) in CATEGORIES[_bare(answer)]


def synonym_same(slots: Slots, answer: str) -> bool:
    """Whether one stands for the other."""
    return answer == ("yes" if slots["word"] in _words_for(slots["plain"]) else "no")


def synonym_plain(slots: Slots, answer: str) -> bool:
    """One stands for the other."""
    return slots["word"] in _words_for(answer)


def paraphrase(slots: Slots, answer: str) -> bool:
    """The same task with the same things, in other words."""
    return answer != slots["instruction"] and about(answer) == about(slots["instruction"])


def acted_on(slots: Slots, answer: str) -> bool:
    """What the instruction names first."""
    return answer == f"the {about(slots['instruction'])[1][0]}"


def _words_for(plain: str) -> tuple[str, ...]:
    return COLOUR_SYNONYMS.get(plain, ()) + KIND_SYNONYMS.get(plain, ())


def _bare(words: str) -> str:
    return re.sub(r"^an? ", "", words)
