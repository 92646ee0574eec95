import dataclasses
import itertools

import cv2
import numpy as np
import pytest

from vla.interfaces import TemplateSet
from vla_datasets.web.samples import WebSample, parse_locations
from vla_sim.corpus.checks.checker import Checker
from vla_sim.corpus.checks.pieces import pieces
from vla_sim.corpus.concepts import NUMBERS
from vla_sim.corpus.drawings import MIN_DIGIT_SIDE, PALETTE, Item, Place, Sheet, draw_items
from vla_sim.corpus.items import PICTOGRAMS
from vla_sim.corpus.kinds import KINDS
from vla_sim.corpus.procedural import sample
from vla_sim.corpus.stencils import stencil
from vla_sim.corpus.tabletop_pictures import Album

NUMBER = 32


@pytest.fixture(scope="module")
def album() -> Album:
    return Album(5)


@pytest.fixture(scope="module")
def checker(album: Album) -> Checker:
    return Checker(album)


@pytest.fixture(scope="module")
def samples(album: Album) -> list[WebSample]:
    sets = tuple(TemplateSet)
    return [sample(album, kind, number, sets[number % 2]) for number in range(NUMBER) for kind in KINDS]


def test_every_label_agrees_with_the_state_behind_it(samples: list[WebSample], checker: Checker):
    findings = [f"{s.source}: {finding}" for s in samples if (finding := checker.finding(s))]
    assert findings == []


def test_the_answer_of_another_sample_is_found_out(samples: list[WebSample], checker: Checker):
    # Points of two samples may happen to lie on the same thing, and a sentence has many paraphrases.
    asked = {str(s.facts["ask"]) for s in samples} - {"point_table", "point_drawing", "synonym_point", "paraphrase"}
    tried = wrong = 0
    for ask in asked:
        same = [s for s in samples if s.facts["ask"] == ask]
        for one, other in itertools.pairwise(same):
            if one.answer != other.answer:
                tried += 1
                wrong += bool(checker.finding(dataclasses.replace(one, answer=other.answer)))
    assert tried > 200
    assert wrong == tried


def test_a_picture_of_another_moment_is_found_out(samples: list[WebSample], checker: Checker):
    told = next(s for s in samples if s.facts["ask"] == "count_table")
    altered = told.images[0].copy()
    altered[3, 4] ^= 1
    assert "count_table" in checker.finding(dataclasses.replace(told, images=(altered,)))


def test_another_licence_and_words_that_ask_nothing_are_found_out(samples: list[WebSample], checker: Checker):
    assert checker.finding(dataclasses.replace(samples[0], licence="MIT")) == "licence 'MIT'"
    assert "0 ways" in checker.finding(dataclasses.replace(samples[0], question="hello?"))


def test_points_lie_on_the_thing_even_when_moved_to_its_neighbours_they_do_not(
    samples: list[WebSample], checker: Checker
):
    points = [s for s in samples if s.facts["ask"] == "point_table" and s.kind == "point"]
    for point in points:
        row, column = parse_locations(point.answer)[0]
        mirrored = f"<loc{int((1 - row) * 1024):04d}><loc{int((1 - column) * 1024):04d}>"
        assert not checker.finding(point)
        assert checker.finding(dataclasses.replace(point, answer=mirrored))


@pytest.mark.parametrize("name", [*NUMBERS[:10], *PICTOGRAMS, "arrow left", "arrow up"])
def test_pictograms_are_recognised_at_their_smallest(name: str):
    generator = np.random.default_rng(0)
    for colour in PALETTE:
        drawing = draw_items(
            generator, [Item(name, colour)], Sheet(96, 120, (240, 236, 230)), [Place(9, 11, MIN_DIGIT_SIDE)]
        )
        (found,) = pieces(drawing.image)
        assert found.words == f"{colour} {name}"
        row, column = drawing.drawn[0].point
        assert found.mask[row, column]


def test_pictograms_hang_together():
    for name in (*NUMBERS[:10], *PICTOGRAMS):
        number, _ = cv2.connectedComponents((stencil(name) >= 128).astype(np.uint8))
        assert number == 2, name
