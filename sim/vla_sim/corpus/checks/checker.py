"""Whether a sample is true: what it asks is read from its words, and answered anew from evidence or pixels.

question ─► wording, slots ─┐
number of the picture ─► the world as it stood ─► evidence ─┼─► is the answer right?
image ─► pieces ────────────────────────────────────────────┘
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vla_datasets.web.samples import WebSample
from vla_sim.corpus.checks import drawn_answers, tabletop_answers, text_answers, tile_answers
from vla_sim.corpus.checks.evidence import Evidence, gather
from vla_sim.corpus.checks.pieces import pieces
from vla_sim.corpus.kinds import ALL_KINDS, TILE_KINDS
from vla_sim.corpus.procedural import sample_key
from vla_sim.corpus.studio_world import StudioWorld
from vla_sim.corpus.tabletop_pictures import Album, TabletopPicture
from vla_sim.corpus.tile_pictures import tile_world
from vla_sim.corpus.wordings import Wording
from vla_sim.demonstrations import LICENCE

_TABLETOP: dict[str, Callable[[Evidence, dict[str, str], str], bool]] = {
    "caption_table": tabletop_answers.caption_table,
    "exists_table": tabletop_answers.exists_table,
    "colour_table": tabletop_answers.colour_table,
    "on_table": tabletop_answers.on_table,
    "count_table": tabletop_answers.count_table,
    "relation_which_table": tabletop_answers.relation_which,
    "relation_whether_table": tabletop_answers.relation_whether,
    "point_table": tabletop_answers.place,
    "box_table": tabletop_answers.place,
    "synonym_point": tabletop_answers.place,
    "refuse_instruction": tabletop_answers.refuse_instruction,
    "task_done": tabletop_answers.task_done,
    "next_step": tabletop_answers.next_step,
    "held": tabletop_answers.what_is_held,
    "gripper_open": tabletop_answers.gripper_open,
    "nearest": tabletop_answers.nearest,
}
_DRAWN: dict[str, Callable[[Any, dict[str, str], str], bool]] = {
    "caption_drawing": drawn_answers.caption_drawing,
    "exists_drawing": drawn_answers.exists_drawing,
    "colour_drawing": drawn_answers.colour_drawing,
    "count_drawing": drawn_answers.count_drawing,
    "relation_drawing": drawn_answers.relation_drawing,
    "digit_which": drawn_answers.digit_which,
    "digit_coloured": drawn_answers.named_by_colour,
    "digit_row": drawn_answers.digit_row,
    "sum_shown": drawn_answers.sum_shown,
    "sum_coloured": drawn_answers.sum_coloured,
    "sum_tile": drawn_answers.sum_tile,
    "symbol_coloured": drawn_answers.named_by_colour,
    "symbol_arrow": drawn_answers.symbol_arrow,
    "emblem": drawn_answers.named_by_colour,
    "category_of": drawn_answers.category_of,
    "category_member": drawn_answers.category_member,
    "point_drawing": drawn_answers.place,
    "box_drawing": drawn_answers.place,
}
_TEXT: dict[str, Callable[[dict[str, str], str], bool]] = {
    "sum": text_answers.total,
    "minus": text_answers.minus,
    "number_after": text_answers.number_after,
    "is_a": text_answers.is_a,
    "sort_of": text_answers.sort_of,
    "synonym_same": text_answers.synonym_same,
    "synonym_plain": text_answers.synonym_plain,
    "paraphrase": text_answers.paraphrase,
    "acted_on": text_answers.acted_on,
}


class Checker:
    """Checks samples of one seed, in a world of its own."""

    def __init__(self, album: Album) -> None:
        """Begin.

        Args:
            album: which pictures the samples' numbers speak of.
        """
        self._album = album
        self._world = StudioWorld()
        self._kept: dict[int, Evidence] = {}

    def finding(self, sample: WebSample) -> str:
        """What is wrong with a sample; empty if nothing is."""
        if sample.licence != LICENCE:
            return f"licence '{sample.licence}'"
        readings = [
            (w, slots) for w in ALL_KINDS[sample.kind].wordings if (slots := w.read(sample.question)) is not None
        ]
        if len(readings) != 1:
            return f"'{sample.question}' can be read in {len(readings)} ways"
        wording, slots = readings[0]
        if not self._is_right(sample, wording, slots):
            return f"{wording.name}: '{sample.question}' is answered '{sample.answer}'"
        return ""

    def _is_right(self, sample: WebSample, wording: Wording, slots: dict[str, str]) -> bool:
        if wording.name in _TEXT:
            return not sample.images and _TEXT[wording.name](slots, sample.answer)
        if sample.kind in TILE_KINDS:
            number: Any = sample.facts["picture"]
            key = (*sample_key(sample), int(number))
            return tile_answers.is_right(tile_world(), sample, key, wording.name, slots)
        if wording.name in _DRAWN:
            return _DRAWN[wording.name](pieces(sample.images[0]), slots, sample.answer)
        if wording.name == "changed":
            return drawn_answers.changed(pieces(sample.images[0]), pieces(sample.images[1]), sample.answer)
        pictures = self._pictures(sample)
        if not all(np.array_equal(p.image, image) for p, image in zip(pictures, sample.images, strict=True)):
            return False
        evidence = [self._evidence(picture) for picture in pictures]
        if wording.name == "moved":
            return tabletop_answers.moved(evidence[0], evidence[1], sample.answer)
        return _TABLETOP[wording.name](evidence[0], slots, sample.answer)

    def _pictures(self, sample: WebSample) -> list[TabletopPicture]:
        told: Any = sample.facts["pictures"]
        return [self._album[int(fact["number"])] for fact in told]

    def _evidence(self, picture: TabletopPicture) -> Evidence:
        if picture.number not in self._kept:
            if len(self._kept) > 256:
                self._kept.clear()
            self._kept[picture.number] = gather(self._world, picture)
        return self._kept[picture.number]
