from __future__ import annotations

import numpy as np
import pytest

from vla.embodiment import Field
from vla.errors import StatisticsError
from vla.normalization import Normalizer, Scheme, Statistics

FIELDS = [Field("x", "m", -1.0, 1.0), Field("y", "m", -1.0, 1.0)]
GOOD = Statistics.of(np.array([[0.0, 1.0], [1.0, 3.0], [2.0, 8.0]]), ["x", "y"])


def test_the_figures_of_three_vectors() -> None:
    assert GOOD.count == 3
    np.testing.assert_allclose(GOOD.mean, [1, 4])
    np.testing.assert_allclose(GOOD.deviation, [np.sqrt(2 / 3), np.sqrt(26 / 3)])
    np.testing.assert_array_equal([GOOD.low, GOOD.high], [[0, 1], [2, 8]])
    np.testing.assert_allclose(GOOD.quantile(0.5), [1, 3])


def test_quantiles_become_minus_one_and_one() -> None:
    values = np.linspace(-3, 5, 101, dtype=np.float32)[:, None]
    normalizer = Normalizer.of(Statistics.of(values, ["x"]), FIELDS[:1])
    ends = np.quantile(values.astype(np.float64), [0.01, 0.99], axis=0).astype(np.float32)
    np.testing.assert_allclose(normalizer.normalise(ends), [[-1], [1]], atol=1e-6)


def test_one_deviation_from_the_mean_becomes_one() -> None:
    normalizer = Normalizer.of(GOOD, FIELDS, Scheme.DEVIATION)
    np.testing.assert_allclose(normalizer.normalise((GOOD.mean + GOOD.deviation)[None]), [[1, 1]], rtol=1e-6)


def test_noise_of_a_constant_field_is_not_blown_up() -> None:
    noise = np.random.default_rng(0).normal(0, 1e-9, (100, 1))
    normalizer = Normalizer.of(Statistics.of(noise, ["x"]), FIELDS[:1])
    assert np.abs(normalizer.normalise(noise)).max() < 1e-4


def test_absent_statistics_are_refused() -> None:
    with pytest.raises(StatisticsError, match="the statistics are absent: nothing can be normalised without them"):
        Statistics.from_json(None)


def test_statistics_of_another_version_are_refused() -> None:
    with pytest.raises(StatisticsError, match="expected vla-statistics 1, got vla-statistics 2"):
        Statistics.from_json(GOOD.to_json() | {"version": 2})


@pytest.mark.parametrize("name", ["mean", "deviation", "low", "high", "quantiles", "names", "count", "levels"])
def test_incomplete_statistics_are_refused(name: str) -> None:
    tree = GOOD.to_json()
    del tree[name]
    with pytest.raises(StatisticsError, match=f"the statistics are incomplete or malformed: '{name}'"):
        Statistics.from_json(tree)


@pytest.mark.parametrize("name", ["mean", "deviation", "low", "high"])
def test_statistics_of_uneven_width_are_refused(name: str) -> None:
    with pytest.raises(StatisticsError, match=rf"'{name}' of the statistics should have shape \(2,\), got \(1,\)"):
        Statistics.from_json(GOOD.to_json() | {name: [1.0]})


@pytest.mark.parametrize("name", ["mean", "deviation", "low", "high"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_statistics_that_are_not_finite_are_refused_by_field(name: str, value: float) -> None:
    with pytest.raises(StatisticsError, match=f"'{name}' of the statistics is not finite: y"):
        Statistics.from_json(GOOD.to_json() | {name: [1.0, value]})


def test_quantiles_that_are_not_finite_are_refused_by_field() -> None:
    with pytest.raises(StatisticsError, match="'quantiles' of the statistics is not finite: x"):
        Statistics.from_json(GOOD.to_json() | {"quantiles": [[float("nan"), 1.0], [1.0, 1.0]]})


def test_values_that_are_not_finite_are_refused_by_field() -> None:
    with pytest.raises(StatisticsError, match="values are not finite: y"):
        Statistics.of(np.array([[0.0, 1.0], [0.0, np.nan]]), ["x", "y"])


def test_statistics_of_nothing_are_refused() -> None:
    with pytest.raises(StatisticsError, match="there are no values to compute statistics of"):
        Statistics.of(np.zeros((0, 2)))


def test_names_of_another_width_are_refused() -> None:
    with pytest.raises(StatisticsError, match="expected vectors of 3 fields, got 2"):
        Statistics.of(np.zeros((4, 2)), ["a", "b", "c"])


def test_a_merge_without_values_is_refused() -> None:
    loaded = Statistics.from_json(GOOD.to_json())
    with pytest.raises(StatisticsError, match="merged quantiles would be guesses: merge before JSON"):
        GOOD.merge(loaded)


def test_a_merge_of_other_fields_is_refused() -> None:
    other = Statistics.of(np.zeros((2, 2)), ["x", "z"])
    with pytest.raises(StatisticsError, match=r"statistics of what is merged should be of \['x', 'y'\]"):
        GOOD.merge(other)


def test_a_merge_of_other_quantiles_is_refused() -> None:
    other = Statistics.of(np.zeros((2, 2)), ["x", "y"], levels=[0.5])
    with pytest.raises(StatisticsError, match="statistics to merge keep the same quantiles"):
        GOOD.merge(other)


def test_a_quantile_that_was_not_kept_is_refused() -> None:
    with pytest.raises(StatisticsError, match=r"quantile 0\.5 was not kept; kept: 0\.01, 0\.99"):
        GOOD.without_values().quantile(0.5)


def test_statistics_of_another_width_do_not_normalise() -> None:
    with pytest.raises(StatisticsError, match="statistics of the fields to normalise should have 1 fields, got 2"):
        Normalizer.of(GOOD, FIELDS[:1])


def test_statistics_of_other_fields_do_not_normalise() -> None:
    with pytest.raises(StatisticsError, match=r"should be of \['y', 'x'\], got \['x', 'y'\]"):
        Normalizer.of(GOOD, FIELDS[::-1])


def test_vectors_of_another_width_are_not_normalised() -> None:
    normalizer = Normalizer.of(GOOD, FIELDS)
    with pytest.raises(StatisticsError, match=r"expected vectors of 2 fields, got shape \(4, 1\)"):
        normalizer.normalise(np.zeros((4, 1), np.float32))
