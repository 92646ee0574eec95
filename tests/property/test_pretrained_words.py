"""Tokenizers that models bring: what is padded, what is refused, and which ids may be given up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from vla.errors import CheckpointError
from vla.tokens.text import TextTokenizer
from vla.tokens.words import PretrainedWords, WordTokenizer

SENTENCES = ["put the red block on the blue pad", "push the green cube to the left", "pick up the small ball"]


def trained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES * 3, trainer)
    tokenizer.add_special_tokens(["<end>"])
    return tokenizer


WORDS = PretrainedWords(trained().to_str(), "say {instruction}!", is_lower_case=True)


@pytest.mark.parametrize("words", [WORDS, TextTokenizer.train(SENTENCES, 270)])
def test_both_kinds_keep_the_protocol(words: WordTokenizer) -> None:
    assert isinstance(words, WordTokenizer)
    ids, is_padding = words.encode_batch(["put it", "pick up the ball"], 40)
    assert ids.shape == is_padding.shape == (2, 40)
    for row, hidden, text in zip(ids, is_padding, ["put it", "pick up the ball"], strict=True):
        assert row[~hidden].tolist() == words.encode(text)


@given(st.text(max_size=30))
def test_any_text_comes_back_inside_its_template(text: str) -> None:
    ids = WORDS.encode(text)
    assert WORDS.decode(ids) == f"say {text.lower()}!".strip()
    assert all(0 <= index < WORDS.vocabulary_size for index in ids)


def test_every_text_can_be_written_without_the_ids_that_may_be_given_up() -> None:
    ids = WORDS.last_ordinary_ids(WORDS.room)
    assert ids is not None
    alphabet = {WORDS.id_of(letter) for letter in pre_tokenizers.ByteLevel.alphabet()}
    assert None not in alphabet
    assert alphabet.isdisjoint(ids)


def test_room_ends_at_the_first_id_that_is_needed() -> None:
    last = WORDS.id_of("<end>")
    assert last is not None
    assert WORDS.last_ordinary_ids(WORDS.room) == range(256, last)
    assert WORDS.last_ordinary_ids(3) == range(last - 3, last)
    assert WORDS.last_ordinary_ids(WORDS.room + 1) is None


def test_single_characters_may_be_given_up_where_bytes_stand_in_for_them() -> None:
    """As in the vocabulary of Llama 2, whose last ids are single characters."""
    bytes_first = {f"<0x{byte:02X}>": byte for byte in range(256)}
    vocabulary = bytes_first | {"a": 256, "b": 257, "ab": 258, "語": 259}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("a", "b")], byte_fallback=True, unk_token=None))
    words = PretrainedWords(tokenizer.to_str())
    assert words.room == 4
    assert words.last_ordinary_ids(4) == range(256, 260)


def test_a_longer_text_is_refused() -> None:
    with pytest.raises(ValueError, match=r"may have 3 tokens, got \d+: 'put the block'"):
        WORDS.encode_batch(["put the block"], 3)


@pytest.mark.parametrize("template", ["", "no place", "{instruction} {instruction}"])
def test_a_template_has_one_place(template: str) -> None:
    with pytest.raises(CheckpointError, match=r"a template has one \{instruction\}"):
        PretrainedWords(WORDS.source, template)


def test_what_is_no_tokenizer_is_refused() -> None:
    with pytest.raises(CheckpointError, match="the text tokenizer cannot be read"):
        PretrainedWords("{}")
