"""Other words for what robot instructions speak of: whether they mean the same, and pointing to what they mean."""

from __future__ import annotations

from vla_sim.corpus.concepts import COLOUR_SYNONYMS, KIND_SYNONYMS
from vla_sim.corpus.draws import Draft, Draw, tabletop_draft, text_draft
from vla_sim.corpus.kinds.places import place_of
from vla_sim.corpus.kinds.vqa import YES_NO
from vla_sim.corpus.still_tables import KINDS
from vla_sim.corpus.wordings import Wording

SAME = Wording(
    "synonym_same",
    ("is {word} a word for {plain}?", "does {word} mean {plain}?", "could one say {word} for {plain}?"),
    ("is {word} another word for {plain}?",),
)
PLAIN = Wording(
    "synonym_plain",
    ("say {word} in other words", "what is another word for {word}?", "which plain word means {word}?"),
    ("say {word} more plainly",),
)
POINT = Wording(
    "synonym_point",
    ("point to the {thing} that lies there", "where is the {thing} that lies there?"),
    ("show me the {thing} that lies there",),
)
WORDINGS = (SAME, PLAIN, POINT)
SYNONYMS = {
    word: plain for group in (COLOUR_SYNONYMS, KIND_SYNONYMS) for plain, words in group.items() for word in words
}


def make(draw: Draw) -> Draft | None:
    """One of the questions in turn."""
    return draw.cycle((_same, _plain, _point))(draw)


def _same(draw: Draw) -> Draft:
    answer, word = draw.cycle(YES_NO), draw.cycle(list(SYNONYMS))
    group = COLOUR_SYNONYMS if SYNONYMS[word] in COLOUR_SYNONYMS else KIND_SYNONYMS
    others = [plain for plain in group if plain != SYNONYMS[word]]
    slots = {"word": word, "plain": SYNONYMS[word] if answer == "yes" else draw.one_of(others)}
    return text_draft(draw, SAME, slots, draw.ask(SAME, **slots), answer)


def _plain(draw: Draw) -> Draft:
    word = draw.cycle(list(SYNONYMS))
    return text_draft(draw, PLAIN, {"word": word}, draw.ask(PLAIN, word=word), SYNONYMS[word])


def _point(draw: Draw) -> Draft | None:
    colour = draw.cycle(list(COLOUR_SYNONYMS))
    for picture in draw.pictures():
        fitting = [s for s in picture.clear if s.colour == colour and s.kind in KINDS]
        if fitting:
            sight = draw.one_of(fitting)
            kind = draw.one_of((sight.kind.value, *KIND_SYNONYMS[sight.kind.value]))
            slots = {"thing": f"{draw.one_of(COLOUR_SYNONYMS[colour])} {kind}"}
            answer = place_of(sight, picture.image.shape[0], picture.image.shape[1], is_box=False)
            return tabletop_draft(POINT, slots, draw.ask(POINT, **slots), answer, picture)
    return None
