from __future__ import annotations

import json

from vla.model.compact import CompactConfig
from vla.tokens.text import TextTokenizer
from vla_sim.instruction_corpus import train_tokenizer
from vla_sim.tasks import all_instructions


def test_the_shipped_tokenizer_is_the_one_the_corpus_trains() -> None:
    assert json.loads(TextTokenizer.shipped().to_json()) == json.loads(train_tokenizer().to_json())


def test_every_word_of_the_corpus_is_one_token() -> None:
    tokenizer = TextTokenizer.shipped()
    words = {word for sentence in all_instructions() for word in sentence.split()}
    assert {word for word in words if len(tokenizer.encode(word)) > 1} == set()


def test_every_sentence_of_the_corpus_fits_the_model() -> None:
    tokenizer = TextTokenizer.shipped()
    assert max(len(tokenizer.encode(sentence)) for sentence in all_instructions()) <= CompactConfig().text_tokens
