"""False premises: the words speak of a thing that is not there, and the answer says which."""

from __future__ import annotations

from vla_sim.corpus.drawings import PALETTE, Sheet, draw_items
from vla_sim.corpus.draws import Draft, Draw, drawn_draft, tabletop_draft
from vla_sim.corpus.items import PICTOGRAMS, any_items
from vla_sim.corpus.kinds.places import BOX, BOX_DRAWN, POINT, POINT_DRAWN
from vla_sim.corpus.still_tables import KINDS
from vla_sim.corpus.tabletop_pictures import TabletopPicture
from vla_sim.corpus.wordings import Wording
from vla_sim.tasks import SUITES, TASKS
from vla_sim.worlds.scene import COLOURS

FOLLOW = Wording(
    "refuse_instruction",
    ("can you {instruction}?", "here is what to do: {instruction}", "please {instruction}"),
    ("would you {instruction}, please?",),
)
WORDINGS = (POINT, BOX, POINT_DRAWN, BOX_DRAWN, FOLLOW)
"""Asked in the words of true premises: only the picture tells that there is nothing to point to."""


def make(draw: Draw) -> Draft | None:
    """A place on the table, an instruction, or a place in a drawing."""
    return draw.cycle((_table, _instruction, _drawing))(draw)


def refusal(thing: str) -> str:
    """The sentence that refuses: `there is no green block`."""
    return f"there is no {thing}"


def _table(draw: Draw) -> Draft | None:
    wording, colour, kind = draw.cycle((POINT, BOX)), draw.cycle(list(COLOURS)), draw.one_of(KINDS)
    name = f"{colour} {kind.value}"
    picture = _without(draw, name)
    if picture is None:
        return None
    return tabletop_draft(wording, {"thing": name}, draw.ask(wording, thing=name), refusal(name), picture)


def _instruction(draw: Draw) -> Draft | None:
    tasks = [TASKS[name] for name in SUITES["tabletop"] if len(TASKS[name].roles) == 1]
    task, colour = draw.one_of(tasks), draw.cycle(list(COLOURS))
    name = task.names((colour,))[0]
    picture = _without(draw, name)
    if picture is None:
        return None
    said = task.training[int(draw.generator.integers(len(task.training)))].format(colour)
    return tabletop_draft(FOLLOW, {"thing": name}, draw.ask(FOLLOW, instruction=said), refusal(name), picture)


def _without(draw: Draw, name: str) -> TabletopPicture | None:
    """A picture of a table on which this is not, not even hidden."""
    return next((p for p in draw.pictures() if name not in p.names and p.clear), None)


def _drawing(draw: Draw) -> Draft:
    wording, colour, name = draw.cycle((POINT_DRAWN, BOX_DRAWN)), draw.cycle(list(PALETTE)), draw.one_of(PICTOGRAMS)
    items = any_items(draw.generator, draw.one_of(range(2, 6)), no_pair=(colour, name))
    drawing = draw_items(draw.generator, items, Sheet.draw(draw.generator))
    slots = {"referent": f"the {colour} {name}"}
    return drawn_draft(draw, wording, slots, draw.ask(wording, **slots), refusal(f"{colour} {name}"), drawing)
