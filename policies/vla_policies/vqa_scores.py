"""How right an answer is.

    words   exact: the same words; soft: F1 of the words (as in SQuAD, arXiv:1606.05250)
    point   distance to the true one, as a share of the picture's diagonal; right within `NEAR`
    box     the same of its middle, and intersection over union; right from `OVERLAP` on

Case, punctuation and articles do not count. An answer with places is right if it has as many, and each of them is.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from vla_datasets.web.samples import LOCATION_STEPS, parse_locations

NEAR = 0.08
"""Of the diagonal: 8 px of 64 x 80, about a block's width."""
OVERLAP = 0.5

_ARTICLES = frozenset(("a", "an", "the"))
_FAR = 1.0
_WORD = re.compile(r"<loc(\d{4})>")

Place = tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Score:
    """Of one answer."""

    is_right: bool
    soft: float
    """0..1: F1 of words; of places, the mean over them of the overlap of boxes, or of how near points are."""
    distance: float | None = None
    """Of places, on average, in shares of the diagonal; None of words, `1` where places are missing."""


def score(said: str, true: str) -> Score:
    """Of what was said, where `true` is the answer."""
    places = parse_locations(true)
    return _score_places(said, places) if places else _score_words(said, true)


def normalised(text: str) -> str:
    """Lower case, without punctuation, articles and superfluous blanks."""
    words = re.findall(r"\w+", text.lower())
    return " ".join(word for word in words if word not in _ARTICLES)


def distance(one: Place, other: Place) -> float:
    """Between the middles of two places, in shares of the diagonal of a square picture."""
    (row, column), (other_row, other_column) = _middle(one), _middle(other)
    return math.hypot(row - other_row, column - other_column) / math.sqrt(2)


def overlap(one: Place, other: Place) -> float:
    """Intersection over union of two boxes (top, left, bottom, right)."""
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(height, 0.0) * max(width, 0.0)
    area = sum(max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0) for box in (one, other))
    return shared / (area - shared) if area > shared else 0.0


def _score_words(said: str, true: str) -> Score:
    ours, theirs = normalised(said), normalised(true)
    return Score(ours == theirs, _f1(ours.split(), theirs.split()))


def _f1(ours: Sequence[str], theirs: Sequence[str]) -> float:
    if not ours or not theirs:
        return float(ours == theirs)
    common = (Counter(ours) & Counter(theirs)).total()
    return 2 * common / (len(ours) + len(theirs))


def _score_places(said: str, places: Sequence[Place]) -> Score:
    found = _places(said, [len(place) for place in places])
    if found is None:
        return Score(False, 0.0, _FAR)
    far = [distance(one, other) for one, other in zip(found, places, strict=True)]
    near = [_nearness(one, other) for one, other in zip(found, places, strict=True)]
    right = all(near[n] >= OVERLAP if len(place) == 4 else far[n] <= NEAR for n, place in enumerate(places))
    return Score(right, sum(near) / len(near), sum(far) / len(far))


def _places(said: str, sizes: Sequence[int]) -> list[Place] | None:
    """As many places of so many words as were asked for; None if that is not what was said.

    A model's tokens do not say where one place ends and the next begins.
    """
    words = [int(number) for number in _WORD.findall(said)]
    if len(words) != sum(sizes) or any(word >= LOCATION_STEPS for word in words):
        return None
    ends = list(itertools.accumulate(sizes))
    middles = [(word + 0.5) / LOCATION_STEPS for word in words]
    return [tuple(middles[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def _nearness(one: Place, other: Place) -> float:
    return overlap(one, other) if len(other) == 4 else max(0.0, 1 - distance(one, other) / (2 * NEAR))


def _middle(place: Place) -> tuple[float, float]:
    row, column = np.reshape(place, (-1, 2)).mean(axis=0)
    return float(row), float(column)
