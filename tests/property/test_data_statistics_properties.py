"""Statistics of several stores are those of all their numbers together, and quantiles are true ones."""

from __future__ import annotations

import functools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla.normalization import Statistics
from vla.testing import SMALL_EMBODIMENT
from vla_datasets.upkeep.statistics_of_stores import LEVELS, BodyStatistics

FLOATS = st.floats(-1e3, 1e3, width=32)
WIDTHS = (SMALL_EMBODIMENT.action_dim, SMALL_EMBODIMENT.state_dim)


@st.composite
def stores(draw: st.DrawFn) -> list[tuple[np.ndarray, np.ndarray]]:
    """Actions and states of a few stores, with values that occur again."""
    values = st.sampled_from(draw(st.lists(FLOATS, min_size=1, max_size=6)))
    found = []
    for steps in draw(st.lists(st.integers(1, 12), min_size=1, max_size=4)):
        actions, states = (draw(hnp.arrays(np.float32, (steps, width), elements=values)) for width in WIDTHS)
        found.append((actions, states))
    return found


def body(name: str, actions: np.ndarray, states: np.ndarray) -> BodyStatistics:
    return BodyStatistics(
        SMALL_EMBODIMENT, (name,), 1, Statistics.of(actions, levels=LEVELS), Statistics.of(states, levels=LEVELS)
    )


@given(stores())
def test_merged_statistics_are_those_of_all_numbers_together(drawn: list[tuple[np.ndarray, np.ndarray]]) -> None:
    parts = [body(str(index), *arrays) for index, arrays in enumerate(drawn)]
    merged = functools.reduce(BodyStatistics.merge, parts)
    for found, arrays in ((merged.actions, [a for a, _ in drawn]), (merged.proprioception, [s for _, s in drawn])):
        together = np.concatenate(arrays).astype(np.float64)
        assert found.count == len(together)
        np.testing.assert_array_equal(found.low, together.min(axis=0))
        np.testing.assert_array_equal(found.high, together.max(axis=0))
        np.testing.assert_allclose(found.mean, together.mean(axis=0), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.deviation, together.std(axis=0), rtol=1e-9, atol=1e-9)
        for level in LEVELS:
            expected = np.quantile(together, level, axis=0)
            np.testing.assert_allclose(found.quantile(level), expected, rtol=1e-14, atol=1e-12)
    assert (merged.episodes, len(merged.stores)) == (len(drawn), len(drawn))


@given(stores(), st.randoms(use_true_random=False))
def test_the_order_of_stores_does_not_matter(drawn: list[tuple[np.ndarray, np.ndarray]], random: object) -> None:
    parts = [body(str(index), *arrays) for index, arrays in enumerate(drawn)]
    there, back = functools.reduce(BodyStatistics.merge, parts), functools.reduce(BodyStatistics.merge, parts[::-1])
    np.testing.assert_array_equal(there.actions.quantiles, back.actions.quantiles)
    np.testing.assert_allclose(there.actions.mean, back.actions.mean, rtol=1e-12, atol=1e-12)
