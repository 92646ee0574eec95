"""What the comparison measures: lengths, errors, and what wrong tokens do."""

from __future__ import annotations

import numpy as np
import pytest

from vla.errors import ActionError
from vla.interfaces import PADDING_ID
from vla.testing import SMALL_EMBODIMENT
from vla.tokens.bins import BinTokenizer
from vla.tokens.files import TOKENIZERS, fit_tokenizer
from vla.tokens.ranges import ActionRanges
from vla_policies.tokens_data import Chunks
from vla_policies.tokens_measures import Compared, compare, measure
from vla_policies.tokens_noise import decodes, masked, one_substituted, states, substituted


def _chunks(number: int = 400, horizon: int = 6) -> np.ndarray:
    """Float32 (number, horizon, 5): waves."""
    generator = np.random.default_rng(0)
    phase, pace = generator.uniform(0, 6, (2, number, 1, 5))
    waves = np.sin(phase + 0.3 * pace * np.arange(horizon)[:, None])
    low, high = SMALL_EMBODIMENT.action_low, SMALL_EMBODIMENT.action_high
    return (low + (high - low) * (waves + 1) / 2).astype(np.float32)


@pytest.fixture(scope="module")
def compared() -> Compared:
    chunks = _chunks()
    episodes = np.repeat(np.arange(20, dtype=np.int32), 20)
    data = Chunks(SMALL_EMBODIMENT, chunks, episodes, 20, ("a/store",))
    return compare(data, names=list(TOKENIZERS), vocabulary=256, held_out=0.2, seed=0)


@pytest.fixture(params=list(TOKENIZERS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


# --------------------------------------------------------------------------- lengths and errors


def test_figures_are_those_of_a_plain_loop(compared: Compared, name: str) -> None:
    tokenizer, measures = compared.tokenizers[name], compared.measured[name].measures
    chunks, ranges = compared.held_out.chunks, compared.ranges
    ids = [tokenizer.encode(chunk) for chunk in chunks]
    decoded = np.stack([tokenizer.decode(tokens) for tokens in ids])
    clipped = ranges.denormalise(ranges.normalise(chunks))
    apart = np.abs(ranges.normalise(decoded) - ranges.normalise(clipped))
    lengths = [len(tokens) for tokens in ids]
    assert measures.tokens_mean == pytest.approx(np.mean(lengths))
    assert measures.tokens_p99 in (np.floor(np.quantile(lengths, 0.99)), np.ceil(np.quantile(lengths, 0.99)))
    assert measures.compression == pytest.approx(30 / np.mean(lengths))
    assert measures.mae == pytest.approx(apart.mean(), rel=1e-4, abs=1e-6)
    assert measures.error_p99 == pytest.approx(np.quantile(apart, 0.99), rel=1e-3, abs=1e-6)
    assert measures.error_max == pytest.approx(apart.max(), rel=1e-4, abs=1e-6)
    in_rad = np.abs(decoded - clipped)[..., 3]
    assert measures.fields["dyaw"].unit == "rad"
    assert measures.fields["dyaw"].mae == pytest.approx(in_rad.mean(), rel=1e-4, abs=1e-7)


def test_histograms_count_everything(compared: Compared, name: str) -> None:
    measured = compared.measured[name]
    assert measured.lengths.sum() == len(compared.held_out.chunks)
    size = compared.held_out.chunks.size
    assert measured.errors.sum() + round(measured.smaller * size) == size


def test_the_batch_changes_nothing(compared: Compared, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, again = compared.tokenizers["fast"], compared.measured["fast"].measures
    monkeypatch.setattr("vla_policies.tokens_measures.BATCH", 7)
    small = measure(tokenizer, compared.held_out.chunks, compared.ranges, SMALL_EMBODIMENT, seed=0).measures
    assert (small.mae, small.error_p99, small.tokens_mean) == (again.mae, again.error_p99, again.tokens_mean)


def test_only_ordered_tokens_have_prefixes_and_more_of_them_are_better(compared: Compared) -> None:
    assert [name for name, measured in compared.measured.items() if measured.prefixes] == ["ordered"]
    prefixes = compared.measured["ordered"].prefixes
    errors = [prefix.mae for prefix in prefixes]
    assert errors == sorted(errors, reverse=True)
    assert prefixes[-1].mae == pytest.approx(compared.measured["ordered"].measures.mae)
    assert [prefix.tokens_mean for prefix in prefixes] == list(range(1, len(prefixes) + 1))


def test_what_lies_outside_the_ranges_is_no_error(compared: Compared) -> None:
    ranges = ActionRanges(compared.ranges.names, compared.ranges.low / 2, compared.ranges.high / 2)
    tokenizer = BinTokenizer(ranges, 255, 6)
    measures = measure(tokenizer, compared.held_out.chunks, ranges, SMALL_EMBODIMENT, seed=0).measures
    assert measures.error_max <= 1 / 254 + 1e-5


def test_what_lies_outside_the_ranges_is_counted() -> None:
    chunks = _chunks(200)
    chunks[:100] /= 100
    data = Chunks(SMALL_EMBODIMENT, chunks, np.repeat(np.arange(2, dtype=np.int32), 100), 2, ("a",))
    shares = {compare(data, names=[], vocabulary=9, held_out=0.5, seed=seed).clipped[0] for seed in range(4)}
    assert min(shares) == 0.0
    assert max(shares) > 0.5


# --------------------------------------------------------------------------- wrong tokens


def test_nothing_is_undecodable_behind_the_grammar(compared: Compared, name: str) -> None:
    assert compared.measured[name].measures.undecodable_constrained == 0.0


def test_wrong_fast_tokens_break_without_the_grammar(compared: Compared) -> None:
    measures = compared.measured["fast"].measures
    assert measures.undecodable_one_substitution > 0.3
    assert 0.0 < measures.undecodable_unconstrained < measures.undecodable_one_substitution


def test_bins_decode_whatever_is_substituted(compared: Compared) -> None:
    measures = compared.measured["bins"].measures
    assert (measures.undecodable_unconstrained, measures.undecodable_one_substitution) == (0.0, 0.0)


def test_right_sequences_pass_the_mask_unchanged(compared: Compared, name: str) -> None:
    tokenizer = compared.tokenizers[name]
    ids = tokenizer.encode_batch(compared.held_out.chunks)
    assert np.array_equal(masked(ids, tokenizer.grammar(), np.random.default_rng(0)), ids)
    assert decodes(tokenizer, tokenizer.grammar(), ids).all()


def test_any_ids_at_all_become_decodable_behind_the_mask(compared: Compared, name: str) -> None:
    tokenizer, generator = compared.tokenizers[name], np.random.default_rng(1)
    wild = generator.integers(-1, tokenizer.vocabulary_size, (500, tokenizer.max_tokens))
    written = masked(wild, tokenizer.grammar(), generator)
    chunks = tokenizer.decode_batch(written)
    assert np.isfinite(chunks).all()
    assert (chunks >= SMALL_EMBODIMENT.action_low - 1e-6).all()
    assert (chunks <= SMALL_EMBODIMENT.action_high + 1e-6).all()


def test_what_does_not_decode_is_refused_by_the_tokenizer(compared: Compared) -> None:
    tokenizer, generator = compared.tokenizers["fast"], np.random.default_rng(2)
    ids = tokenizer.encode_batch(compared.held_out.chunks)
    wrong = one_substituted(ids, tokenizer.vocabulary_size, generator)
    good = decodes(tokenizer, tokenizer.grammar(), wrong)
    assert 0 < good.sum() < len(good)
    for row, decodable in zip(wrong, good, strict=True):
        if decodable:
            tokenizer.decode_batch(row[None])
        else:
            with pytest.raises(ActionError):
                tokenizer.decode_batch(row[None])


def test_one_token_is_another_and_padding_stays(compared: Compared) -> None:
    tokenizer = compared.tokenizers["fast"]
    ids = tokenizer.encode_batch(compared.held_out.chunks)
    wrong = one_substituted(ids, tokenizer.vocabulary_size, np.random.default_rng(0))
    assert ((wrong != ids).sum(axis=1) == 1).all()
    assert np.array_equal(wrong == PADDING_ID, ids == PADDING_ID)
    assert (wrong < tokenizer.vocabulary_size).all()


def test_about_the_share_is_substituted() -> None:
    ids = np.zeros((2000, 50), np.int64)
    wrong = substituted(ids, 7, 0.01, np.random.default_rng(0))
    assert (wrong != ids).mean() == pytest.approx(0.01, rel=0.1)
    assert set(np.unique(wrong)) == set(range(7))


def test_states_follow_the_grammar() -> None:
    grammar = fit_tokenizer("bins", _chunks(20, 2), SMALL_EMBODIMENT, 5).grammar()
    path = states(grammar, np.array([[0, 1, 2, PADDING_ID], [0, 9, 0, 0]]))
    assert path.tolist() == [[0, 1, 2, 3, 3], [0, 1, -1, -1, -1]]
