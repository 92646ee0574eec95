from __future__ import annotations

import numpy as np
import pytest

from vla.errors import CheckpointError
from vla.testing import SMALL_EMBODIMENT
from vla.tokens.bins import MU, BinTokenizer, Spacing
from vla.tokens.files import fingerprint, tokenizer_from_json
from vla.tokens.ranges import ActionRanges

_RANGES = ActionRanges.of(np.array([-1.0]), np.array([1.0]))
_LOW, _HIGH = SMALL_EMBODIMENT.action_low, SMALL_EMBODIMENT.action_high


def _column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_openvlas_256_codes_are_those_of_digitize() -> None:
    values = np.linspace(-1.2, 1.2, 4001, dtype=np.float32)[:, None]
    ids = BinTokenizer(_RANGES, 256, len(values), Spacing.OPENVLA).encode(values)
    expected = np.digitize(np.clip(values[:, 0].astype(np.float64), -1, 1), np.linspace(-1, 1, 256))
    np.testing.assert_array_equal(np.array(ids) + 1, expected)


def test_openvlas_255_bins_decode_to_their_middles_and_the_last_code_to_the_last_of_them() -> None:
    edges = np.linspace(-1, 1, 256)
    middles = (edges[:-1] + edges[1:]) / 2
    centres = BinTokenizer(_RANGES, 256, 1, Spacing.OPENVLA).centres[:, 0]
    np.testing.assert_allclose(centres, [*middles, middles[-1]], atol=1e-7)


def test_openvlas_last_code_is_for_one_exactly() -> None:
    tokenizer = BinTokenizer(_RANGES, 256, 2, Spacing.OPENVLA)
    assert tokenizer.encode(_column(1.0, 0.9999)) == [255, 254]


def test_mu_law_levels_are_even_once_compressed() -> None:
    levels = BinTokenizer(_RANGES, 9, 1, Spacing.MU_LAW).centres[:, 0].astype(np.float64)
    compressed = np.sign(levels) * np.log1p(MU * np.abs(levels)) / np.log1p(MU)
    np.testing.assert_allclose(compressed, np.linspace(-1, 1, 9), atol=1e-6)


def test_quantile_levels_are_where_the_values_are() -> None:
    values = np.random.default_rng(0).exponential(0.01, (4000, 1, 5))
    chunks = np.clip(_LOW + values, _LOW, _HIGH).astype(np.float32)
    tokenizer = BinTokenizer.fit(chunks, SMALL_EMBODIMENT, 65, Spacing.QUANTILE)
    counts = np.bincount(tokenizer.encode_batch(chunks)[:, 0], minlength=65)
    assert counts[1:-1].max() < 2 * len(chunks) / 64


def test_a_value_that_is_most_common_is_kept_exactly_and_wastes_no_level() -> None:
    chunks = np.tile(np.float32((_LOW + _HIGH) / 2), (1000, 1, 1))
    chunks[:100] = np.linspace(_LOW, _HIGH, 100, dtype=np.float32)[:, None]
    tokenizer = BinTokenizer.fit(chunks, SMALL_EMBODIMENT, 17, Spacing.QUANTILE)
    np.testing.assert_allclose(tokenizer.decode(tokenizer.encode(chunks[-1])), chunks[-1], atol=1e-7)
    assert (np.diff(tokenizer.centres, axis=0) > 0).all()


def test_a_file_that_does_not_name_its_spacing_is_of_uniform_bins() -> None:
    tree = BinTokenizer(_RANGES, 9, 2).to_json()
    assert "spacing" not in tree
    assert BinTokenizer.from_json(tree).spacing is Spacing.UNIFORM


def test_spacings_have_fingerprints_of_their_own() -> None:
    data_free = [spacing for spacing in Spacing if spacing is not Spacing.QUANTILE]
    assert len({fingerprint(BinTokenizer(_RANGES, 9, 2, spacing)) for spacing in data_free}) == len(data_free)


def test_an_unknown_spacing_is_refused() -> None:
    tree = {**BinTokenizer(_RANGES, 9, 2).to_json(), "spacing": "logarithmic"}
    with pytest.raises(CheckpointError, match="'logarithmic' is not a valid Spacing"):
        tokenizer_from_json(tree)


def test_quantile_spacing_without_its_levels_is_refused() -> None:
    with pytest.raises(ValueError, match="quantile spacing has levels of its own"):
        BinTokenizer(_RANGES, 9, 2, Spacing.QUANTILE)


def test_levels_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(ValueError, match="ascend in every field"):
        BinTokenizer(_RANGES, 3, 2, Spacing.QUANTILE, np.array([[-1.0], [0.5], [0.5]]))
