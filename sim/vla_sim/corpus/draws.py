"""One sample's share of chance: what is asked, which answer is wanted, and which pictures to look for it in.

Everything is a function of (seed, kind, number). Answers are balanced because they come first: of every `len(options)`
samples in a row each option is wanted once, and a picture is looked for in which it is the answer.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vla.interfaces import TemplateSet
from vla_sim.corpus.drawings import Drawing
from vla_sim.corpus.tabletop_pictures import WINDOW, Album, TabletopPicture
from vla_sim.corpus.wordings import Wording

CHAPTER = 8 * WINDOW
"""So many pictures are shared by as many samples of each kind."""
AFAR = 10**6
"""How many chapters further the next is that is tried when a chapter has no answer."""
NUM_CHAPTERS_TRIED = 64
"""Two are rarely needed."""


@dataclasses.dataclass(frozen=True)
class Draft:
    """A sample before it gets its kind, licence and number."""

    images: tuple[UInt8[np.ndarray, "height width 3"], ...]
    question: str
    answer: str
    scene: str
    facts: Mapping[str, object]


class Draw:
    """The draw of one sample."""

    def __init__(self, album: Album, kind: str, number: int, templates: TemplateSet) -> None:
        """Begin.

        Args:
            album: its seed is the corpus's.
            number: of the sample among those of its kind.
        """
        self._album = album
        self._kind = zlib.crc32(kind.encode())
        self._number = number
        self._rest = number
        self._cycles = 0
        self.templates = templates
        """Which wordings of the questions."""
        self.key = key_of(kind, album.seed, number)
        """Numbers that no other sample has."""
        self.generator = np.random.default_rng([self._kind, album.seed, number])
        self.scene = f"{kind}:{album.seed}:{number}"

    def one_of[T](self, options: Sequence[T]) -> T:
        """Any of them."""
        return options[int(self.generator.integers(len(options)))]

    def cycle[T](self, options: Sequence[T]) -> T:
        """Each of them once in as many samples, in an order that chance decides; cycles nest."""
        block, place = divmod(self._rest, len(options))
        # Not the sample's generator: a whole block has to agree on the order.
        order = np.random.default_rng([self._kind, self._album.seed, self._cycles, block]).permutation(len(options))
        self._rest, self._cycles = block, self._cycles + 1
        return options[int(order[place])]

    def ask(self, wording: Wording, **slots: str) -> str:
        """One of a question's wordings."""
        return wording.ask(self.templates, self.generator, **slots)

    def pictures(self, num_chapters: int = NUM_CHAPTERS_TRIED) -> Iterator[TabletopPicture]:
        """Tabletop pictures to look for an answer in: this sample's own, then those of its chapter, then of others."""
        chapter, own = divmod(self._number, CHAPTER)
        yield self._album[self._number]
        for attempt in range(num_chapters):
            begin = (chapter + attempt * AFAR) * CHAPTER
            window = own // WINDOW * WINDOW
            near = window + self.generator.permutation(WINDOW)
            for place in (*near, *self.generator.permutation(CHAPTER)):
                yield self._album[begin + int(place)]


def key_of(kind: str, seed: int, number: int) -> tuple[int, int, int]:
    """Numbers that no other sample has."""
    return zlib.crc32(kind.encode()), seed, number


def facts_of(wording: Wording, slots: Mapping[str, Any], pictures: Sequence[TabletopPicture]) -> dict[str, object]:
    """What a tabletop sample's label derives from, as JSON."""
    return {"ask": wording.name, **slots, "pictures": [picture.facts() for picture in pictures]}


def tabletop_draft(
    wording: Wording, slots: Mapping[str, Any], question: str, answer: str, *pictures: TabletopPicture
) -> Draft:
    """A question about tabletop pictures."""
    images = tuple(picture.image for picture in pictures)
    return Draft(images, question, answer, pictures[0].scene_id, facts_of(wording, slots, pictures))


def drawn_draft(
    draw: Draw, wording: Wording, slots: Mapping[str, Any], question: str, answer: str, *drawings: Drawing
) -> Draft:
    """A question about drawings, which nobody else uses."""
    facts = {"ask": wording.name, **slots, "drawings": [drawing.facts() for drawing in drawings]}
    return Draft(tuple(drawing.image for drawing in drawings), question, answer, draw.scene, facts)


def text_draft(draw: Draw, wording: Wording, slots: Mapping[str, Any], question: str, answer: str) -> Draft:
    """A question without a picture."""
    return Draft((), question, answer, draw.scene, {"ask": wording.name, **slots})
