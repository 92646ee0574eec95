"""Captions: everything that is seen, from left to right, and what the gripper holds."""

from __future__ import annotations

from vla_sim.corpus.drawings import Sheet, draw_items
from vla_sim.corpus.draws import Draft, Draw, drawn_draft, tabletop_draft
from vla_sim.corpus.items import any_items
from vla_sim.corpus.tabletop_pictures import TabletopPicture
from vla_sim.corpus.wordings import Wording, article, listed

TABLE = Wording(
    "caption_table",
    ("caption en", "describe the table", "what is on the table?", "say what is on the table, from left to right"),
    ("name everything on the table", "which things are on the table?"),
)
DRAWING = Wording(
    "caption_drawing",
    ("caption en drawing", "describe the drawing", "what is drawn here?", "say what is drawn, from left to right"),
    ("name everything in the drawing", "which things are drawn here?"),
)
WORDINGS = (TABLE, DRAWING)
_MAX_ITEMS = 5


def make(draw: Draw) -> Draft | None:
    """What is on a table, or in a drawing."""
    return draw.cycle((_table, _drawing))(draw)


def _table(draw: Draw) -> Draft | None:
    for picture in draw.pictures():
        if picture.is_plain and picture.is_grip_certain and picture.clear:
            return tabletop_draft(TABLE, {}, draw.ask(TABLE), _sentence(picture), picture)
    return None


def _sentence(picture: TabletopPicture) -> str:
    things = listed([article(sight.name) for sight in picture.clear])
    return f"{things} on a table" + (f"; the gripper holds the {picture.held}" if picture.held else "")


def _drawing(draw: Draw) -> Draft:
    items = any_items(draw.generator, draw.cycle(range(1, _MAX_ITEMS + 1)))
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator))
    names = [drawn.item.words for drawn in sorted(drawing.drawn, key=lambda drawn: drawn.middle)]
    answer = f"a drawing of {listed([article(name) for name in names])}"
    return drawn_draft(draw, DRAWING, {}, draw.ask(DRAWING), answer, drawing)
