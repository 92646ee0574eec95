from __future__ import annotations

import pytest

from vla.errors import CheckpointError
from vla.tokens.text import PAD_ID, TextTokenizer

SENTENCES = ["put the red block on the blue pad", "stack the green block on the red block"]


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer.train(SENTENCES * 4, vocabulary_size=320)


def test_words_of_the_corpus_are_few_tokens(tokenizer: TextTokenizer) -> None:
    assert len(tokenizer.encode(SENTENCES[0])) <= 9


@pytest.mark.parametrize("text", ["put the zebra on the blue pad", "déplacer ça", "", "put the 🦓 away"])
def test_any_text_decodes_to_itself(tokenizer: TextTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_case_and_outer_spaces_do_not_matter(tokenizer: TextTokenizer) -> None:
    assert tokenizer.encode("  Put the RED block ") == tokenizer.encode("put the red block")


def test_padding_is_told_apart_from_words(tokenizer: TextTokenizer) -> None:
    ids, is_padding = tokenizer.encode_batch(SENTENCES, length=16)
    assert ((ids == PAD_ID) == is_padding).all()
    assert is_padding[:, -1].all()


def test_an_instruction_that_is_too_long_is_refused_not_cut(tokenizer: TextTokenizer) -> None:
    with pytest.raises(ValueError, match="an instruction may have 4 tokens"):
        tokenizer.encode_batch(SENTENCES, length=4)


def test_json_reads_back_to_the_same_tokens(tokenizer: TextTokenizer) -> None:
    copy = TextTokenizer.from_json(tokenizer.to_json())
    assert copy.encode(SENTENCES[1]) == tokenizer.encode(SENTENCES[1])


def test_a_damaged_file_is_a_checkpoint_error() -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        TextTokenizer.from_json("{}")
