"""Tiles with drawings: pointing to one by what it is called, reading what is on it, and what an instruction is about.

| kind          | asked                                              | answered           | for the role           |
|---------------|----------------------------------------------------|--------------------|------------------------|
| `tile_point`  | point to the tile that is two plus one             | a point            | destination            |
|               | point to the crimson brick                         | a point            | target                 |
| `tile_task`   | where is this done: put the red block on the star  | a point, or two    | target and destination |
| `tile_read`   | what is on the blue tile?                          | a word             |                        |
|               | which colour has the tile with the star?           | a word             |                        |

`facts["roles"]` says for each point of an answer what a robot would take it for. Answers are words: no sample has an
action.
"""

from __future__ import annotations

from collections.abc import Mapping

from vla_datasets.web.samples import location_words
from vla_sim.corpus.concepts import COLOUR_SYNONYMS
from vla_sim.corpus.draws import Draft, Draw
from vla_sim.corpus.tile_pictures import TilePicture, tile_picture
from vla_sim.corpus.wordings import Wording
from vla_sim.tasks.emergence.referents import BRICKS, Concept, call
from vla_sim.worlds.scene import Thing

POINT_TILE = Wording(
    "tile_point",
    ("point to {tile}", "where is {tile}?", "show {tile}"),
    ("put your finger on {tile}",),
)
POINT_BLOCK = Wording(
    "block_point",
    ("point to {block}", "where is {block}?", "show {block}"),
    ("put your finger on {block}",),
)
PUT = Wording(
    "tile_put",
    ("where is this done: put {block} on {tile}", "point: move {block} to {tile}", "where: place {block} on {tile}"),
    ("where would one set {block} down on {tile}?",),
)
GO = Wording(
    "tile_go",
    ("where is this done: go to {tile}", "point: move to {tile}", "where: hover over {tile}"),
    ("where would one go to reach {tile}?",),
)
SHOWS = Wording(
    "tile_shows",
    ("what is on {tile}?", "what does {tile} show?", "read {tile}"),
    ("what is drawn on {tile}?",),
)
COLOURED = Wording(
    "tile_coloured",
    ("which colour has {tile}?", "what colour is {tile}?", "name the colour of {tile}"),
    ("of which colour is {tile}?",),
)
POINT_WORDINGS = (POINT_TILE, POINT_BLOCK)
TASK_WORDINGS = (PUT, GO)
READ_WORDINGS = (SHOWS, COLOURED)

DRAWN = (Concept.DIGIT, Concept.SUM, Concept.SYMBOL, Concept.CATEGORY)
"""Told by what is drawn."""
_MAX_TRIES = 50


def make_point(draw: Draw) -> Draft | None:
    """A tile three times, then a block."""
    is_tile, concept = draw.cycle((True, True, True, False)), draw.cycle(tuple(Concept))
    number, picture = _picture(draw, concept)
    if is_tile:
        said = {"tile": _called(draw, picture, concept)}
        return _draft(draw, POINT_TILE, said, [picture.tiles[0].name], ["destination"], picture, concept, number)
    block = picture.blocks[0]
    said = {"block": _block_called(draw, block, draw.one_of((Concept.COLOUR, Concept.SYNONYM)))}
    return _draft(draw, POINT_BLOCK, said, [block.name], ["target"], picture, concept, number)


def make_task(draw: Draw) -> Draft | None:
    """What is moved, and where to; or where to alone."""
    wording, concept = draw.cycle(TASK_WORDINGS), draw.cycle(tuple(Concept))
    number, picture = _picture(draw, concept)
    said, names, roles = {"tile": _called(draw, picture, concept)}, [picture.tiles[0].name], ["destination"]
    if wording is PUT:
        said["block"] = _block_called(draw, picture.blocks[0], concept)
        names, roles = [picture.blocks[0].name, *names], ["target", *roles]
    return _draft(draw, wording, said, names, roles, picture, concept, number)


def make_read(draw: Draw) -> Draft | None:
    """What is on a tile of a colour, or the colour of a tile that bears something."""
    wording = draw.cycle(READ_WORDINGS)
    concept = Concept.COLOUR if wording is SHOWS else draw.cycle(DRAWN)
    number, picture = _picture(draw, concept, is_read=True)
    tile = picture.tiles[0]
    answer = tile.drawing if wording is SHOWS else tile.colour
    said = {"tile": _called(draw, picture, concept)}
    facts = _facts(wording, concept, number, picture)
    return Draft((picture.image,), draw.ask(wording, **said), answer, draw.scene, facts)


def _picture(draw: Draw, concept: Concept, *, is_read: bool = False) -> tuple[int, TilePicture]:
    """The first picture in which the tile that is asked for can be told from the others, and its number."""
    for number in range(_MAX_TRIES):
        picture = tile_picture((*draw.key, number), concept)
        if picture.is_read if is_read else picture.is_told:
            return number, picture
    raise RuntimeError(f"the arm hides the tiles in {_MAX_TRIES} pictures of {draw.scene}")


def _called(draw: Draw, picture: TilePicture, concept: Concept) -> str:
    return call(picture.tiles[0], picture.tiles, concept, draw.templates, draw.generator)


def _block_called(draw: Draw, block: Thing, concept: Concept) -> str:
    if concept is not Concept.SYNONYM:
        return f"the {block.name}"
    return f"the {draw.one_of(COLOUR_SYNONYMS[block.colour])} {draw.one_of(BRICKS)}"


def _draft(
    draw: Draw,
    wording: Wording,
    said: Mapping[str, str],
    names: list[str],
    roles: list[str],
    picture: TilePicture,
    concept: Concept,
    number: int,
) -> Draft:
    answer = " ".join(location_words(*picture.places[name]) for name in names)
    facts = _facts(wording, concept, number, picture) | {"roles": roles}
    return Draft((picture.image,), draw.ask(wording, **said), answer, draw.scene, facts)


def _facts(wording: Wording, concept: Concept, number: int, picture: TilePicture) -> dict[str, object]:
    tiles = {tile.name: tile.drawing for tile in picture.tiles}
    return {"ask": wording.name, "concept": concept.value, "picture": number, "tiles": tiles}
