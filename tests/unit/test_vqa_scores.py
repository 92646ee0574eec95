from __future__ import annotations

import pytest

from vla_datasets.web.samples import location_words
from vla_policies.vqa_scores import NEAR, score

BOX = location_words(0.2, 0.2, 0.6, 0.6)


@pytest.mark.parametrize(
    ("said", "true", "is_right", "soft"),
    [
        ("three", "three", True, 1.0),
        ("The Red block.", "a red block", True, 1.0),
        ("two", "three", False, 0.0),
        ("red block", "red bowl", False, 0.5),
        ("a red red block", "a red block", False, 0.8),
        ("", "three", False, 0.0),
    ],
)
def test_words_are_right_if_all_are_and_soft_by_how_many(said: str, true: str, is_right: bool, soft: float) -> None:
    scored = score(said, true)
    assert (scored.is_right, scored.distance) == (is_right, None)
    assert scored.soft == pytest.approx(soft)


@pytest.mark.parametrize("off", [0.0, 0.05, 0.1, 0.3])
def test_a_point_is_right_where_it_is_near(off: float) -> None:
    scored = score(location_words(0.5 + off, 0.5), location_words(0.5, 0.5))
    expected = off / 2**0.5
    assert scored.distance == pytest.approx(expected, abs=1e-3)
    assert scored.is_right == (expected <= NEAR)
    assert scored.soft == pytest.approx(max(0.0, 1 - expected / (2 * NEAR)), abs=0.01)


@pytest.mark.parametrize(("low", "is_right"), [(0.2, True), (0.3, True), (0.45, False)])
def test_a_box_is_right_where_it_overlaps(low: float, is_right: bool) -> None:
    assert score(location_words(low, 0.2, low + 0.4, 0.6), BOX).is_right == is_right


def test_boxes_that_do_not_touch_do_not_overlap() -> None:
    assert score(location_words(0.7, 0.7, 0.9, 0.9), BOX).soft == 0


@pytest.mark.parametrize("said", ["there is no star", "<loc0100>", "<loc0100><loc0100><loc0100>", BOX + " " + BOX, ""])
def test_an_answer_with_other_places_than_asked_for_is_wrong(said: str) -> None:
    scored = score(said, location_words(0.1, 0.1))
    assert (scored.is_right, scored.soft, scored.distance) == (False, 0.0, 1.0)


def test_places_may_follow_each_other_without_a_gap() -> None:
    one, two = location_words(0.1, 0.1), location_words(0.8, 0.8)
    assert score(f"{one}{two}", f"{one} {two}").is_right


def test_every_place_of_an_answer_has_to_be_right() -> None:
    one, two = location_words(0.1, 0.1), location_words(0.8, 0.8)
    assert score(f"{one} {two}", f"{one} {two}").is_right
    assert not score(f"{one} {one}", f"{one} {two}").is_right
    assert not score(f"{two} {one}", f"{one} {two}").is_right
