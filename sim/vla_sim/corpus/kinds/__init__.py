"""The kinds of questions, by the name that `kind=` gives. To add one, read and imitate `count.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from vla_sim.corpus.draws import Draft, Draw
from vla_sim.corpus.kinds import (
    arithmetic,
    caption,
    categories,
    count,
    difference,
    digits,
    language,
    places,
    refusal,
    relation,
    robot,
    symbols,
    synonyms,
    tiles,
    vqa,
)
from vla_sim.corpus.wordings import Wording


class SampleKind(NamedTuple):
    """One kind."""

    make: Callable[[Draw], Draft | None]
    """A sample; None if no picture gave the wanted answer."""
    wordings: tuple[Wording, ...]


KINDS: dict[str, SampleKind] = {
    "caption": SampleKind(caption.make, caption.WORDINGS),
    "vqa": SampleKind(vqa.make, vqa.WORDINGS),
    "count": SampleKind(count.make, count.WORDINGS),
    "relation": SampleKind(relation.make, relation.WORDINGS),
    "digits": SampleKind(digits.make, digits.WORDINGS),
    "arithmetic": SampleKind(arithmetic.make, arithmetic.WORDINGS),
    "symbols": SampleKind(symbols.make, symbols.WORDINGS),
    "categories": SampleKind(categories.make, categories.WORDINGS),
    "synonyms": SampleKind(synonyms.make, synonyms.WORDINGS),
    "point": SampleKind(places.make_point, places.POINT_WORDINGS),
    "box": SampleKind(places.make_box, places.BOX_WORDINGS),
    "difference": SampleKind(difference.make, difference.WORDINGS),
    "refusal": SampleKind(refusal.make, refusal.WORDINGS),
    "robot": SampleKind(robot.make, robot.WORDINGS),
    "language": SampleKind(language.make, language.WORDINGS),
}
TILE_KINDS: dict[str, SampleKind] = {
    "tile_point": SampleKind(tiles.make_point, tiles.POINT_WORDINGS),
    "tile_task": SampleKind(tiles.make_task, tiles.TASK_WORDINGS),
    "tile_read": SampleKind(tiles.make_read, tiles.READ_WORDINGS),
}
"""Of `suite=emergence`: drawn only if they are named."""
ALL_KINDS = KINDS | TILE_KINDS
WORDINGS: dict[str, Wording] = {w.name: w for kind in ALL_KINDS.values() for w in kind.wordings}
