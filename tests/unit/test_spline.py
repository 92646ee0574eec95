from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import BSpline

from vla.errors import ActionError, CheckpointError, ConfigError
from vla.testing import SMALL_EMBODIMENT
from vla.tokens.ranges import ActionRanges
from vla.tokens.spline import SplineTokenizer, basis

FIELDS = SMALL_EMBODIMENT.action_dim
LAST = SMALL_EMBODIMENT.action[-1].name


def _chunks(count: int = 200, horizon: int = 12) -> np.ndarray:
    """Half a slow wave in every field; the last one jumps once."""
    generator = np.random.default_rng(0)
    phase = generator.uniform(0, 2 * np.pi, (count, 1, FIELDS))
    values = np.sin(phase + np.arange(horizon)[:, None] / horizon * np.pi)
    jump = generator.integers(1, horizon, (count, 1))
    values[:, :, -1] = np.where(np.arange(horizon) < jump, 1.0, -1.0)
    low, high = SMALL_EMBODIMENT.action_low, SMALL_EMBODIMENT.action_high
    return (low + (values + 1) / 2 * (high - low)).astype(np.float32)


def _one_field(horizon: int, num_points: int, degree: int, num_bins: int = 257) -> SplineTokenizer:
    ranges = ActionRanges.of(np.array([-1.0]), np.array([1.0]))
    return SplineTokenizer(ranges, horizon, num_points, num_bins, (degree,), bound=1.0)


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize(("horizon", "num_points"), [(8, 4), (8, 8), (50, 11)])
def test_the_basis_is_that_of_scipy(horizon: int, num_points: int, degree: int) -> None:
    inner = np.linspace(0, 1, num_points - degree + 1)
    knots = np.concatenate([np.zeros(degree), inner, np.ones(degree)])
    expected = BSpline.design_matrix(np.linspace(0, 1, horizon), knots, degree).toarray()
    np.testing.assert_allclose(basis(horizon, num_points, degree), expected, atol=1e-12)


def test_a_curve_begins_and_ends_at_its_outer_control_points() -> None:
    chunk = _one_field(horizon=9, num_points=5, degree=3).decode([0, 128, 128, 128, 256])
    assert chunk[0, 0] == -1.0
    assert chunk[-1, 0] == 1.0


def test_as_many_control_points_as_steps_lose_no_more_than_rounding() -> None:
    tokenizer = _one_field(horizon=6, num_points=6, degree=1, num_bins=1025)
    chunk = np.random.default_rng(0).uniform(-1, 1, (6, 1)).astype(np.float32)
    np.testing.assert_allclose(tokenizer.decode(tokenizer.encode(chunk)), chunk, atol=1 / 1024 + 1e-6)


def test_control_points_are_the_best_that_stay_inside_the_range() -> None:
    tokenizer = _one_field(horizon=12, num_points=6, degree=3, num_bins=4097)
    step = np.where(np.arange(12) < 5, -1.0, 1.0)[:, None].astype(np.float32)
    weights = basis(12, 6, 3)
    clipped = weights @ np.clip(np.linalg.lstsq(weights, step[:, 0])[0], -1, 1)
    bounded = tokenizer.decode(tokenizer.encode(step))[:, 0]
    assert np.square(bounded - step[:, 0]).sum() < np.square(clipped - step[:, 0]).sum() - 1e-3


def test_a_curve_may_turn_at_the_end_of_its_range() -> None:
    wave = np.cos(np.arange(12)[:, None] / 12 * 2 * np.pi).astype(np.float32)
    ranges = ActionRanges.of(np.array([-1.0]), np.array([1.0]))
    wide, narrow = (SplineTokenizer(ranges, 12, 6, 1024, (3,), bound=bound) for bound in (1.5, 1.0))
    error = [np.abs(tokenizer.decode(tokenizer.encode(wave)) - wave).max() for tokenizer in (wide, narrow)]
    assert error[0] < 0.05 < 0.1 < error[1]


def test_the_field_that_jumps_is_found_by_its_error() -> None:
    tokenizer = SplineTokenizer.fit(_chunks(), SMALL_EMBODIMENT, 256)
    assert tokenizer.degrees == (3,) * (FIELDS - 1) + (0,)


def test_the_fields_that_jump_can_be_named() -> None:
    first = SMALL_EMBODIMENT.action[0].name
    tokenizer = SplineTokenizer.fit(_chunks(), SMALL_EMBODIMENT, 256, zero_order=[first])
    assert tokenizer.degrees == (0,) + (3,) * (FIELDS - 1)


def test_a_field_of_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=rf"no field is named lid; fields: .*{LAST}"):
        SplineTokenizer.fit(_chunks(), SMALL_EMBODIMENT, 256, zero_order=["lid"])


def test_a_chunk_takes_half_as_many_tokens_as_it_has_numbers_by_default() -> None:
    assert SplineTokenizer.fit(_chunks(horizon=12), SMALL_EMBODIMENT, 256).max_tokens == 6 * FIELDS
    assert SplineTokenizer.fit(_chunks(horizon=7), SMALL_EMBODIMENT, 256).max_tokens == 4 * FIELDS


def test_slow_waves_and_single_jumps_come_back_closely() -> None:
    chunks = _chunks()
    tokenizer = SplineTokenizer.fit(chunks, SMALL_EMBODIMENT, 1024)
    back = tokenizer.ranges.normalise(tokenizer.decode_batch(tokenizer.encode_batch(chunks)))
    error = np.abs(back - tokenizer.ranges.normalise(chunks))
    assert error[:, :, :-1].mean() < 0.01
    assert error[:, :, -1].max() < 1e-6


def test_ids_are_ordered_by_time_then_field() -> None:
    tokenizer = SplineTokenizer.fit(_chunks(), SMALL_EMBODIMENT, 256)
    middle = [128] * tokenizer.max_tokens
    other = tokenizer.decode([*middle[:-FIELDS], 255, *middle[1 - FIELDS :]])
    changed = other != tokenizer.decode(middle)
    assert changed[-1, 0]
    assert not changed[0].any()
    assert not changed[:, 1:].any()


def test_neighbouring_ids_are_neighbouring_levels_of_a_field_that_jumps() -> None:
    tokenizer = _one_field(horizon=8, num_points=4, degree=0, num_bins=64)
    allowed = tokenizer.num_levels * tokenizer.num_delays
    decoded = [tokenizer.decode([0, index, 0, 0])[3, 0] for index in range(allowed)]
    assert (np.diff(decoded) >= 0).all()


def test_more_control_points_than_steps_are_refused() -> None:
    with pytest.raises(ConfigError, match="1 to horizon = 12 control points, got 13"):
        SplineTokenizer.fit(_chunks(), SMALL_EMBODIMENT, 256, num_points=13)


def test_a_vocabulary_of_one_id_is_refused() -> None:
    with pytest.raises(ConfigError, match="vocabulary of at least 2 ids, got 1"):
        SplineTokenizer.fit(_chunks(), SMALL_EMBODIMENT, 1)


def test_a_degree_that_the_control_points_cannot_have_names_the_field() -> None:
    with pytest.raises(ValueError, match=r"field 'action\[0\]' needs a degree of 0 to 1 with 2 control points, got 3"):
        _one_field(horizon=8, num_points=2, degree=3)


def test_a_number_that_is_not_finite_names_its_field() -> None:
    chunks = _chunks(3)
    chunks[2, 1, -1] = np.nan
    with pytest.raises(ActionError, match=f"'{LAST}' at step 1 of chunk 2"):
        SplineTokenizer.fit(chunks, SMALL_EMBODIMENT, 256)


def test_a_chunk_of_another_horizon_is_refused() -> None:
    tokenizer = SplineTokenizer.fit(_chunks(), SMALL_EMBODIMENT, 256)
    with pytest.raises(ActionError, match=r"'spline' was fitted to chunks of 12 steps .* got 11 steps"):
        tokenizer.encode(_chunks(1)[0, :11])


def test_a_file_of_another_format_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"vla\.spline/1"):
        SplineTokenizer.from_json({"format": "vla.spline/0"})
