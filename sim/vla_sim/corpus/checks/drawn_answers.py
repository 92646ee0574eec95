"""Answers about drawings, worked out from the pieces found in their pixels. Each function says whether one is right."""

from __future__ import annotations

import re

from vla_sim.corpus.checks.pieces import Piece
from vla_sim.corpus.checks.tabletop_answers import Slots, is_at
from vla_sim.corpus.concepts import CATEGORIES, NUMBERS
from vla_sim.corpus.wordings import plural


def caption_drawing(found: list[Piece], slots: Slots, answer: str) -> bool:
    """Exactly what is found is named."""
    names = [_bare(part) for part in re.split(r", | and ", answer.removeprefix("a drawing of "))]
    return sorted(names) == sorted(piece.words for piece in found)


def exists_drawing(found: list[Piece], slots: Slots, answer: str) -> bool:
    """Whether it is among the pieces."""
    return answer == ("yes" if _bare(slots["thing"]) in [piece.words for piece in found] else "no")


def colour_drawing(found: list[Piece], slots: Slots, answer: str) -> bool:
    """The only one of the name has the colour."""
    return [piece.colour for piece in found if piece.name == slots["thing"]] == [answer]


def count_drawing(found: list[Piece], slots: Slots, answer: str) -> bool:
    """As many are found."""
    fits = [p for p in found if slots["things"] in (plural(p.name), f"{p.colour} things")]
    return answer == NUMBERS[len(fits)]


def relation_drawing(found: list[Piece], slots: Slots, answer: str) -> bool:
    """The middles of the boxes are farther apart that way than any other."""
    (one,), (two,) = ([p for p in found if p.words == slots[role]] for role in ("thing", "other"))
    down, right = one.middle[0] - two.middle[0], one.middle[1] - two.middle[1]
    ways = {"left": -right, "right": right, "above": -down, "below": down}
    return answer == max(ways, key=lambda way: ways[way])


def digit_which(found: list[Piece], slots: Slots, answer: str) -> bool:
    """The only digit."""
    return [piece.name for piece in _digits(found)] == [answer]


def digit_row(found: list[Piece], slots: Slots, answer: str) -> bool:
    """All digits, from left to right."""
    return " ".join(piece.name for piece in _digits(found)) == answer


def named_by_colour(found: list[Piece], slots: Slots, answer: str) -> bool:
    """The only piece of the colour."""
    return [piece.name for piece in found if piece.colour == slots["colour"]] == [answer]


def sum_shown(found: list[Piece], slots: Slots, answer: str) -> bool:
    """All digits together."""
    return NUMBERS[sum(NUMBERS.index(piece.name) for piece in _digits(found))] == answer


def sum_coloured(found: list[Piece], slots: Slots, answer: str) -> bool:
    """The digits of two colours together."""
    colours = (slots["first"], slots["second"])
    return NUMBERS[sum(NUMBERS.index(piece.name) for piece in _digits(found) if piece.colour in colours)] == answer


def sum_tile(found: list[Piece], slots: Slots, answer: str) -> bool:
    """The tile that bears the sum."""
    result = NUMBERS[NUMBERS.index(slots["first"]) + NUMBERS.index(slots["second"])]
    return [piece.colour for piece in found if piece.is_tile and piece.name == result] == [answer]


def symbol_arrow(found: list[Piece], slots: Slots, answer: str) -> bool:
    """The only arrow."""
    return [piece.name for piece in found if piece.name.startswith("arrow")] == [f"arrow {answer}"]


def category_of(found: list[Piece], slots: Slots, answer: str) -> bool:
    """Of the only emblem."""
    return [c for piece in found for c, members in CATEGORIES.items() if piece.name in members] == [answer]


def category_member(found: list[Piece], slots: Slots, answer: str) -> bool:
    """The only emblem of the category."""
    return [piece.name for piece in found if piece.name in CATEGORIES[_bare(slots["category"])]] == [answer]


def place(found: list[Piece], slots: Slots, answer: str) -> bool:
    """Where it is; or there is no such thing, and the answer says so."""
    fits = _referred(found, slots["referent"])
    if answer.startswith("there is no "):
        return not fits and slots["referent"] == f"the {answer.removeprefix('there is no ')}"
    return len(fits) == 1 and is_at(fits[0].mask, 1, answer)


def _referred(found: list[Piece], referent: str) -> list[Piece]:
    if summands := re.fullmatch(r"the (?:tile that is|sum of) (\w+) (?:plus|and) (\w+)", referent):
        result = NUMBERS[NUMBERS.index(summands[1]) + NUMBERS.index(summands[2])]
        return [piece for piece in found if piece.is_tile and piece.name == result]
    if digit := re.fullmatch(r"the tile with the digit (\w+)", referent):
        return [piece for piece in found if piece.is_tile and piece.name == digit[1]]
    bare = referent.removeprefix("the ")
    return [piece for piece in found if piece.words == bare or piece.name in CATEGORIES.get(bare, ())]


def changed(first: list[Piece], second: list[Piece], answer: str) -> bool:
    """What one drawing has and the other has not."""
    before, after = [p.words for p in first], [p.words for p in second]
    gone, new = [w for w in before if w not in after], [w for w in after if w not in before]
    if gone and new:
        return answer == f"the {gone[0]} became {new[0].split()[0]}" and gone[0].split()[1:] == new[0].split()[1:]
    if gone:
        return answer == f"the {gone[0]} is gone"
    return _bare(answer) == f"{new[0]} was added" if new else answer == "nothing"


def _digits(found: list[Piece]) -> list[Piece]:
    return [piece for piece in found if piece.name in NUMBERS]


def _bare(words: str) -> str:
    return re.sub(r"^an? ", "", words)
