"""Tokenizers and tokens in files: what reads back, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vla.errors import ActionError, CheckpointError, ConfigError
from vla.testing import SMALL_EMBODIMENT
from vla.tokens.bins import BinTokenizer
from vla.tokens.files import (
    TOKENIZERS,
    fingerprint,
    fit_tokenizer,
    load_tokenizer,
    load_tokens,
    save_tokenizer,
    save_tokens,
    tokenizer_from_json,
)

HORIZON = 4


@pytest.fixture(scope="module")
def chunks() -> np.ndarray:
    low, high = SMALL_EMBODIMENT.action_low, SMALL_EMBODIMENT.action_high
    steps = np.random.default_rng(0).uniform(0, 1, (400, HORIZON, SMALL_EMBODIMENT.action_dim))
    return (low + steps.mean(axis=1, keepdims=True) * (high - low)).repeat(HORIZON, axis=1).astype(np.float32)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_kind_of_tokenizer_reads_back_from_its_file(name: str, chunks: np.ndarray, tmp_path: Path) -> None:
    tokenizer = fit_tokenizer(name, chunks, SMALL_EMBODIMENT, 128)
    save_tokenizer(tmp_path / "tokenizer.json", tokenizer)
    copy = load_tokenizer(tmp_path / "tokenizer.json", horizon=HORIZON)
    assert (copy.name, fingerprint(copy)) == (name, fingerprint(tokenizer))
    ids = tokenizer.encode_batch(chunks[:20])
    np.testing.assert_array_equal(copy.decode_batch(ids), tokenizer.decode_batch(ids))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_nan_in_a_chunk_is_refused_by_field(name: str, chunks: np.ndarray) -> None:
    broken = chunks[:50].copy()
    broken[7, 2, 1] = np.nan
    field = SMALL_EMBODIMENT.action[1].name
    with pytest.raises(ActionError, match=f"'{field}' at step 2 of chunk 7"):
        fit_tokenizer(name, broken, SMALL_EMBODIMENT, 128)
    with pytest.raises(ActionError, match=f"'{field}' at step 2 of chunk 7"):
        fit_tokenizer(name, chunks, SMALL_EMBODIMENT, 128).encode_batch(broken)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_chunk_of_another_horizon_is_refused_by_both_numbers(name: str, chunks: np.ndarray) -> None:
    tokenizer = fit_tokenizer(name, chunks, SMALL_EMBODIMENT, 128)
    with pytest.raises(ActionError, match=f"fitted to chunks of {HORIZON} steps .* got 3 steps"):
        tokenizer.encode(chunks[0, :3])


def test_a_tokenizer_of_another_horizon_is_refused_by_its_file(chunks: np.ndarray, tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "bins.json", BinTokenizer.fit(chunks, SMALL_EMBODIMENT, 16))
    with pytest.raises(ActionError, match=r"bins\.json was fitted to chunks of 4 actions, got horizon=8"):
        load_tokenizer(tmp_path / "bins.json", horizon=8)


def test_tokens_read_back_to_the_tokenizer_that_wrote_them(chunks: np.ndarray, tmp_path: Path) -> None:
    tokenizer = BinTokenizer.fit(chunks, SMALL_EMBODIMENT, 16)
    ids = tokenizer.encode_batch(chunks)
    save_tokens(tmp_path / "tokens.npz", ids, tokenizer)
    np.testing.assert_array_equal(load_tokens(tmp_path / "tokens.npz", tokenizer), ids)


def test_tokens_of_another_tokenizer_are_refused_by_their_file(chunks: np.ndarray, tmp_path: Path) -> None:
    tokenizer = BinTokenizer.fit(chunks, SMALL_EMBODIMENT, 16)
    save_tokens(tmp_path / "tokens.npz", tokenizer.encode_batch(chunks), tokenizer)
    with pytest.raises(ActionError, match=r"tokens\.npz was written by action tokenizer [0-9a-f]{12}, this is"):
        load_tokens(tmp_path / "tokens.npz", BinTokenizer.fit(chunks, SMALL_EMBODIMENT, 17))


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "there are no action tokens at"), (b"half a file", "does not hold action tokens")],
)
def test_a_file_without_tokens_is_refused(chunks: np.ndarray, tmp_path: Path, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / "tokens.npz").write_bytes(content)
    with pytest.raises(ActionError, match=told):
        load_tokens(tmp_path / "tokens.npz", BinTokenizer.fit(chunks, SMALL_EMBODIMENT, 16))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r"there is no action tokenizer at .*tokenizer\.json"),
        ("{", r"tokenizer\.json is not JSON"),
        ("[]", r"tokenizer\.json is a JSON list, expected an object"),
        ('{"format": "vla.bins/999"}', r"tokenizer\.json: this version reads .* got 'vla\.bins/999'"),
        ('{"format": "vla.bins/2"}', r"tokenizer\.json: the action tokenizer is not whole: KeyError"),
    ],
)
def test_a_file_that_is_no_tokenizer_is_refused_by_name(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=told):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_a_kind_that_does_not_exist_is_refused_with_those_that_do(chunks: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="bins"):
        fit_tokenizer("bin", chunks, SMALL_EMBODIMENT, 16)


def test_json_of_no_format_is_refused() -> None:
    with pytest.raises(CheckpointError, match="got None"):
        tokenizer_from_json(json.loads("{}"))
