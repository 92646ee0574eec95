"""What is different in the second of two pictures: on a table that an arm works at, or in a drawing."""

from __future__ import annotations

import dataclasses

import numpy as np

from vla_sim.corpus.drawings import PALETTE, Drawing, Item, Sheet, draw_items, least_side, scatter
from vla_sim.corpus.draws import Draft, Draw, drawn_draft, tabletop_draft
from vla_sim.corpus.items import any_items
from vla_sim.corpus.tabletop_pictures import TabletopPicture
from vla_sim.corpus.wordings import Wording

MOVED = Wording(
    "moved",
    (
        "which thing moved between the pictures?",
        "what on the table was moved?",
        "what moved on the table, if anything?",
    ),
    ("which thing on the table is somewhere else in the second picture?",),
)
CHANGED = Wording(
    "changed",
    ("what is different in the second drawing?", "what changed from the first drawing to the second?"),
    ("how does the second drawing differ from the first?",),
)
WORDINGS = (MOVED, CHANGED)
MOVED_M, STILL_M = 0.03, 0.004
"""Whoever moved farther has moved, whoever less has not; about pictures with anything in between nothing is asked."""
CHANGES = ("added", "gone", "recoloured", "same")


def make(draw: Draw) -> Draft | None:
    """On a table, or in a drawing."""
    return draw.cycle((_table, _drawing))(draw)


def _table(draw: Draw) -> Draft | None:
    is_something = draw.cycle((True, False))
    seen: dict[str, list[TabletopPicture]] = {}
    for picture in draw.pictures():
        if picture.attempt is None or not picture.clear:
            continue
        for other in seen.setdefault(picture.scene_id, []):
            before, after = sorted((picture, other), key=lambda each: each.number)
            moved = _moved(before, after)
            if moved is not None and bool(moved) is is_something:
                answer = f"the {moved}" if moved else "nothing"
                return tabletop_draft(MOVED, {}, draw.ask(MOVED), answer, before, after)
        seen[picture.scene_id].append(picture)
    return None


def _moved(before: TabletopPicture, after: TabletopPicture) -> str | None:
    """The one thing that moved, if it is seen in both pictures; empty for none, and None if it is hard to say."""
    moves = {s.name: float(np.linalg.norm(after.sight(s.name).position - s.position)) for s in before.sights}
    moved = [name for name, distance in moves.items() if distance > MOVED_M]
    if len(moved) > 1 or any(STILL_M < distance <= MOVED_M for distance in moves.values()):
        return None
    if moved and not (before.sight(moved[0]).is_clear and after.sight(moved[0]).is_clear):
        return None
    return moved[0] if moved else ""


def _drawing(draw: Draw) -> Draft:
    change = draw.cycle(CHANGES)
    items = any_items(draw.generator, draw.one_of(range(2, 6)))
    sheet = Sheet.draw(draw.generator)
    places, seed = (
        scatter(draw.generator, sheet, [least_side(item) for item in items]),
        int(draw.generator.integers(2**32)),
    )

    def drawn(shown: list[Item]) -> Drawing:
        # One generator for both, so that what stays looks the same.
        where = places[: len(shown)]
        return draw_items(np.random.default_rng(seed), shown, sheet, where)

    last = items[-1]
    if change == "added":
        first, second, answer = items[:-1], items, f"{_a(last)} was added"
    elif change == "gone":
        first, second, answer = items, items[:-1], f"the {last.words} is gone"
    elif change == "recoloured":
        taken = {item.colour for item in items if item.name == last.name}
        colour = draw.one_of([colour for colour in PALETTE if colour not in taken])
        second = [*items[:-1], dataclasses.replace(last, colour=colour)]
        first, answer = items, f"the {last.words} became {colour}"
    else:
        first, second, answer = items, items, "nothing"
    return drawn_draft(draw, CHANGED, {}, draw.ask(CHANGED), answer, drawn(first), drawn(second))


def _a(item: Item) -> str:
    return f"{'an' if item.colour[0] in 'aeiou' else 'a'} {item.words}"
