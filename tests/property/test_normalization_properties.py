from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla.embodiment import Field
from vla.errors import StatisticsError
from vla.normalization import Normalizer, Scheme, Statistics

FINITE = st.floats(-1e6, 1e6, width=32)


def vectors(min_rows: int = 1) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float32, st.tuples(st.integers(min_rows, 40), st.just(3)), elements=FINITE)


@given(vectors(2), st.data())
def test_merged_statistics_are_those_of_the_whole(values: np.ndarray, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(values) - 1))
    whole = Statistics.of(values)
    merged = Statistics.of(values[:cut]).merge(Statistics.of(values[cut:]))
    spread = 1e-12 * (1 + np.abs(values.astype(np.float64)).max())
    assert merged.count == whole.count
    np.testing.assert_array_equal(merged.quantiles, whole.quantiles)
    np.testing.assert_array_equal([merged.low, merged.high], [whole.low, whole.high])
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12, atol=spread)
    np.testing.assert_allclose(merged.deviation**2, whole.deviation**2, rtol=1e-10, atol=spread**2 + 1e-300)


@given(vectors(), vectors())
def test_merging_does_not_depend_on_the_order(a: np.ndarray, b: np.ndarray) -> None:
    one = Statistics.of(a).merge(Statistics.of(b))
    other = Statistics.of(b).merge(Statistics.of(a))
    np.testing.assert_array_equal(one.quantiles, other.quantiles)
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(one.deviation, other.deviation, rtol=1e-12, atol=1e-9)


@given(vectors(), st.floats(0, 1))
def test_quantiles_are_those_of_numpy_on_all_values(values: np.ndarray, level: float) -> None:
    expected = np.quantile(values.astype(np.float64), level, axis=0)
    np.testing.assert_allclose(Statistics.of(values).quantile(level), expected, rtol=1e-12, atol=1e-9)


@given(st.lists(vectors(), min_size=2, max_size=5))
def test_quantiles_stay_true_over_many_merges(parts: list[np.ndarray]) -> None:
    merged = Statistics.of(parts[0])
    for part in parts[1:]:
        merged = merged.merge(Statistics.of(part))
    expected = np.quantile(np.concatenate(parts).astype(np.float64), [0.01, 0.99], axis=0)
    np.testing.assert_allclose(merged.quantiles, expected, rtol=1e-12, atol=1e-9)


@given(vectors())
def test_json_gives_back_the_statistics_bit_for_bit(values: np.ndarray) -> None:
    tree = Statistics.of(values).to_json()
    assert Statistics.from_json(json.loads(json.dumps(tree, allow_nan=False))).to_json() == tree


@given(vectors(), vectors(), st.sampled_from(Scheme))
def test_unnormalise_inverts_normalise(data: np.ndarray, values: np.ndarray, scheme: Scheme) -> None:
    fields = [Field(name, "m", -1.0, 1.0) for name in "012"]
    normalizer = Normalizer.of(Statistics.of(data), fields, scheme)
    back = normalizer.unnormalise(normalizer.normalise(values))
    # What float32 can say of a normalised value, in physical units, and of the value itself.
    unit = np.finfo(np.float32).eps
    reach = np.abs(values) + np.abs(values - normalizer.centre) + normalizer.scale
    assert (np.abs(back - values) <= 2 * unit * reach + 1e-30).all()


@given(vectors())
def test_quantile_normalising_with_clip_stays_within_one(values: np.ndarray) -> None:
    fields = [Field(name, "m", -1.0, 1.0) for name in "012"]
    normalised = Normalizer.of(Statistics.of(values), fields, clip=True).normalise(values)
    assert (np.abs(normalised) <= 1).all()


@given(FINITE)
def test_a_constant_field_normalises_to_zero_and_back(value: float) -> None:
    constant = np.full((5, 1), value, np.float32)
    normalizer = Normalizer.of(Statistics.of(constant), [Field("0", "rad", -3.0, 3.0)])
    assert (normalizer.normalise(constant) == 0).all()
    np.testing.assert_array_equal(normalizer.unnormalise(np.zeros((1, 1), np.float32))[0], constant[0])


def test_a_field_of_180_plus_minus_a_hundredth_reports_its_deviation() -> None:
    values = np.random.default_rng(0).normal(180, 0.01, (100_000, 1))
    statistics = Statistics.of(values)
    np.testing.assert_allclose(statistics.deviation, values.std(axis=0), rtol=1e-10)
    np.testing.assert_allclose(statistics.deviation, 0.01, rtol=0.01)


def test_float32_values_are_summed_in_float64() -> None:
    values = np.full((1_000_000, 1), 0.1, np.float32)
    assert Statistics.of(values).mean[0] == np.float64(np.float32(0.1))
    assert Statistics.of(values).deviation[0] == 0


@pytest.mark.parametrize("level", [-0.1, 1.1])
def test_a_level_outside_zero_to_one_is_refused(level: float) -> None:
    with pytest.raises(StatisticsError, match=r"a quantile's level lies in 0\.\.1"):
        Statistics.of(np.zeros((2, 1)), levels=[level])
