from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.errors import DataError
from vla_datasets.web.samples import LOCATION_STEPS, location_words, parse_locations

_SHARE = st.floats(0, 1)
_PLACES = st.one_of(st.tuples(_SHARE, _SHARE), st.tuples(_SHARE, _SHARE, _SHARE, _SHARE))


@given(places=st.lists(_PLACES, max_size=4))
def test_places_come_back_to_within_half_a_step(places: list[tuple[float, ...]]) -> None:
    text = " ; ".join(f"{location_words(*place)} cup" for place in places)
    found = parse_locations(text)
    assert [len(place) for place in found] == [len(place) for place in places]
    for place, same in zip(places, found, strict=True):
        assert same == pytest.approx(place, abs=0.5 / LOCATION_STEPS + 1e-12)


@given(place=_PLACES)
def test_words_of_what_was_read_are_the_same_words(place: tuple[float, ...]) -> None:
    words = location_words(*place)
    assert location_words(*parse_locations(words)[0]) == words


def test_a_share_beyond_the_edge_is_at_the_edge() -> None:
    assert location_words(-0.1, 1.5) == "<loc0000><loc1023>"


@pytest.mark.parametrize("text", ["<loc0001>", "<loc0001><loc1024>", "<loc1><loc0002>", "<loc0001>" * 3])
def test_words_that_are_no_place_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="location words"):
        parse_locations(text)


@pytest.mark.parametrize("shares", [(0.1,), (0.1, float("nan")), (0.1, 0.2, 0.3)])
def test_shares_that_are_no_place_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="a point has two shares"):
        location_words(*shares)
