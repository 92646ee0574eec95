"""Ids of published FAST files against what the published processor's steps give, on files made here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.fft import dct, idct
from tokenizers import ByteLevelBPETokenizer, Tokenizer
from tokenizers.trainers import BpeTrainer

from vla.errors import ActionError, CheckpointError
from vla.testing import check_action_tokenizer
from vla.tokens.files import load_tokenizer, save_tokenizer, tokenizer_from_json
from vla.tokens.published_fast import PublishedFastTokenizer
from vla.tokens.ranges import ActionRanges

_HORIZON, _FIELDS, _SCALE = 6, 3, 40.0
_RANGES = ActionRanges.of(np.array([-1.0, -2.0, 0.0]), np.array([1.0, 2.0, 4.0]))


def _walks(chunks: int, seed: int = 0) -> np.ndarray:
    """In -1..1, smooth, and often at an end."""
    steps = np.random.default_rng(seed).normal(0, 0.4, (chunks, _HORIZON, _FIELDS))
    return np.clip(np.cumsum(steps, axis=1), -1, 1)


def _coefficients(values: np.ndarray) -> np.ndarray:
    return np.around(np.asarray(dct(values, axis=1, norm="ortho")) * _SCALE).astype(int).reshape(len(values), -1)


def _publish(folder: Path, values: np.ndarray, vocabulary_size: int = 420) -> int:
    """Fit to chunks and save as the published processor does; the coefficient that is character 0."""
    coefficients = _coefficients(values)
    min_token = int(coefficients.min())
    alphabet = [chr(number) for number in range(int(coefficients.max()) - min_token + 1)]
    texts = ("".join(map(chr, row)) for row in coefficients - min_token)
    trainer = BpeTrainer(
        vocab_size=vocabulary_size, min_frequency=2, initial_alphabet=alphabet, show_progress=False, special_tokens=[]
    )
    tokenizer = Tokenizer.from_str(ByteLevelBPETokenizer().to_str())
    tokenizer.train_from_iterator(texts, trainer)
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(tokenizer.to_str())
    config = {
        "scale": _SCALE,
        "vocab_size": vocabulary_size,
        "min_token": min_token,
        "action_dim": _FIELDS,
        "time_horizon": _HORIZON,
        "processor_class": "UniversalActionProcessor",
        "auto_map": {"AutoProcessor": "processing_action_tokenizer.UniversalActionProcessor"},
    }
    (folder / "processor_config.json").write_text(json.dumps(config))
    return min_token


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fast")
    _publish(folder, _walks(800))
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PublishedFastTokenizer:
    return PublishedFastTokenizer.load(folder, _RANGES, _HORIZON)


def test_ids_are_those_of_the_library(folder: Path, tokenizer: PublishedFastTokenizer) -> None:
    values = _walks(200, seed=1)
    min_token = json.loads((folder / "processor_config.json").read_text())["min_token"]
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    coefficients = _coefficients(tokenizer.ranges.normalise(tokenizer.ranges.denormalise(values)))
    texts = ["".join(map(chr, np.maximum(row - min_token, 0))) for row in coefficients]
    expected = [library.encode(text).ids for text in texts]
    ids = tokenizer.encode_batch(tokenizer.ranges.denormalise(values))
    assert [row[row >= 0].tolist() for row in ids] == expected


def test_chunks_are_what_the_library_and_the_inverse_transform_make_of_ids(
    folder: Path, tokenizer: PublishedFastTokenizer
) -> None:
    ids = tokenizer.encode(tokenizer.ranges.denormalise(_walks(1, seed=2)[0]))
    text = Tokenizer.from_file(str(folder / "tokenizer.json")).decode(ids, skip_special_tokens=False)
    min_token = json.loads((folder / "processor_config.json").read_text())["min_token"]
    coefficients = (np.array([ord(character) for character in text]) + min_token).reshape(_HORIZON, _FIELDS)
    values = np.asarray(idct(coefficients / _SCALE, axis=0, norm="ortho"))
    np.testing.assert_allclose(tokenizer.decode(ids), tokenizer.ranges.denormalise(values), atol=1e-6)


def test_published_fast_keeps_the_tokenizer_contract(tokenizer: PublishedFastTokenizer) -> None:
    check_action_tokenizer(
        tokenizer,
        low=_RANGES.low,
        high=_RANGES.high,
        # Coefficients that no chunk of the fit had become the nearest that one had.
        bound=_RANGES.high - _RANGES.low,
        from_json=PublishedFastTokenizer.from_json,
        trials=24,
    )


def test_some_tokens_hold_a_part_of_a_character(tokenizer: PublishedFastTokenizer) -> None:
    # Without such a token, the grammar would need no more states than coefficients.
    assert len(tokenizer.grammar().accepting) > _HORIZON * _FIELDS + 1


def test_whatever_the_grammar_allows_is_whole_to_the_library(folder: Path, tokenizer: PublishedFastTokenizer) -> None:
    library, generator = Tokenizer.from_file(str(folder / "tokenizer.json")), np.random.default_rng(0)
    grammar = tokenizer.grammar()
    for _ in range(50):
        state, ids = 0, []
        while not grammar.accepting[state]:
            ids.append(int(generator.choice(np.flatnonzero(grammar.allowed[state]))))
            state = int(grammar.next_state[state, ids[-1]])
        text = library.decode(ids, skip_special_tokens=False)
        assert len(text) == _HORIZON * _FIELDS
        assert "\N{REPLACEMENT CHARACTER}" not in text


def test_a_coefficient_without_a_token_becomes_the_nearest_that_has_one(tmp_path: Path) -> None:
    _publish(tmp_path, 0.2 * _walks(400))
    tokenizer = PublishedFastTokenizer.load(tmp_path, _RANGES, _HORIZON)
    still = tokenizer.ranges.denormalise(np.full((_HORIZON, _FIELDS), 1.0))
    assert (tokenizer.decode(tokenizer.encode(still)) > tokenizer.ranges.denormalise(np.full(_FIELDS, 0.1))).all()


def test_it_is_read_back_from_one_file(tokenizer: PublishedFastTokenizer, tmp_path: Path) -> None:
    save_tokenizer(tmp_path / "tokens.json", tokenizer)
    copy = load_tokenizer(tmp_path / "tokens.json", horizon=_HORIZON)
    chunk = tokenizer.ranges.denormalise(_walks(1, seed=3)[0])
    assert copy.encode(chunk) == tokenizer.encode(chunk)


def test_a_tokenizer_in_the_folder_that_newer_libraries_write_is_found(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bpe_tokenizer").mkdir()
    (tmp_path / "bpe_tokenizer" / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (tmp_path / "processor_config.json").write_bytes((folder / "processor_config.json").read_bytes())
    assert PublishedFastTokenizer.load(tmp_path, _RANGES, _HORIZON).scale == _SCALE


def test_a_processor_of_another_horizon_is_refused(folder: Path) -> None:
    with pytest.raises(ActionError, match=r"processor_config\.json is for time_horizon=6, got 8"):
        PublishedFastTokenizer.load(folder, _RANGES, 8)


def test_a_processor_of_another_width_is_refused(folder: Path) -> None:
    with pytest.raises(ActionError, match=r"processor_config\.json is for action_dim=3, got 1"):
        PublishedFastTokenizer.load(folder, ActionRanges.of(np.array([0.0]), np.array([1.0])), _HORIZON)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no processor_config\.json"):
        PublishedFastTokenizer.load(tmp_path, _RANGES, _HORIZON)
    (tmp_path / "processor_config.json").write_text('{"scale": 10, "min_token": -10}')
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json and no bpe_tokenizer/tokenizer\.json"):
        PublishedFastTokenizer.load(tmp_path, _RANGES, _HORIZON)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("model", "type"), "Unigram", r"model\.type is 'BPE'"),
        (("model", "dropout"), 0.5, r"model\.dropout is None"),
        (("decoder",), None, r"decoder\.type is 'ByteLevel'"),
        (("normalizer",), {"type": "NFC"}, "normalizer is None"),
        (("added_tokens",), [{"id": 0, "content": "x"}], "without added tokens"),
    ],
)
def test_a_tokenizer_that_is_more_than_byte_pairs_is_refused(
    tokenizer: PublishedFastTokenizer, path: tuple[str, ...], value: object, message: str
) -> None:
    tree = json.loads(json.dumps(tokenizer.to_json()))
    part = tree["tokenizer"]
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(CheckpointError, match=message):
        tokenizer_from_json(tree)


def test_a_damaged_tokenizer_is_refused(tokenizer: PublishedFastTokenizer) -> None:
    tree = json.loads(json.dumps(tokenizer.to_json()))
    tree["tokenizer"]["model"]["merges"] = [["no", "such"]]
    with pytest.raises(CheckpointError, match="expected a tokenizer that the tokenizers library reads"):
        tokenizer_from_json(tree)
