"""How text becomes ids: what a model asks of a text tokenizer, and the tokenizers that pretrained models bring.

`TextTokenizer` (`vla.tokens.text`) is ours, trained on instructions. `PretrainedWords` is another's, read from the
`tokenizer.json` beside its weights: plain JSON, no code. It fills in a template first, because subwords do not know
where a template ends and an instruction begins.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64
from tokenizers import Tokenizer

from vla.errors import CheckpointError

PLACE = "{instruction}"
BYTE = "<0x{:02X}>"
"""A byte's token, in vocabularies that fall back to bytes."""


@runtime_checkable
class WordTokenizer(Protocol):
    """Instructions to ids, and back."""

    @property
    def vocabulary_size(self) -> int: ...

    def encode(self, text: str) -> list[int]:
        """The ids of an instruction."""
        ...

    def encode_question(self, text: str) -> list[int]:
        """The ids of a question about a picture."""
        ...

    def encode_answer(self, text: str) -> list[int]:
        """The ids of an answer in words, its end not included."""
        ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def encode_batch(
        self, texts: Sequence[str], length: int
    ) -> tuple[Int64[np.ndarray, "batch tokens"], Bool[np.ndarray, "batch tokens"]]:
        """Ids padded to `length`, and where they are padding.

        Raises:
            ValueError: if a text is longer than `length` tokens; nothing is cut off silently.
        """
        ...

    def to_json(self) -> str: ...


@dataclasses.dataclass(frozen=True)
class PretrainedWords:
    """The tokenizer of a pretrained language model."""

    source: str
    """The content of its `tokenizer.json`."""
    template: str = PLACE
    """What an instruction is written into."""
    is_lower_case: bool = False
    """Whether an instruction is written in lower case."""
    question: str = PLACE
    """What a question is written into."""

    def __post_init__(self) -> None:
        for template in (self.template, self.question):
            if template.count(PLACE) != 1:
                raise CheckpointError(f"a template has one {PLACE}, got '{template}'")
        _ = self._tokenizer  # a file that is no tokenizer is refused now, not at the first instruction

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        try:
            tokenizer = Tokenizer.from_str(self.source)
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"the text tokenizer cannot be read: {error}") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    @property
    def vocabulary_size(self) -> int:
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        return self.pieces(self.template.replace(PLACE, text.lower() if self.is_lower_case else text))

    def encode_question(self, text: str) -> list[int]:
        return self.pieces(self.question.replace(PLACE, text))

    def encode_answer(self, text: str) -> list[int]:
        return self.pieces(text)

    def pieces(self, text: str) -> list[int]:
        """The ids of a text that is not written into the template, nothing put around them."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def id_of(self, token: str) -> int | None:
        """The id of one token, if there is such a token."""
        return self._tokenizer.token_to_id(token)

    def last_ordinary_ids(self, count: int) -> range | None:
        """The last ids in a row, the rarest of the merges, without which every text can still be written.

        Returns:
            `count` of them, or None if there are fewer.
        """
        ordinary = self._ordinary()
        if not ordinary:
            return None
        end = max(ordinary) + 1
        first = end - count
        return range(first, end) if count <= self.room else None

    @property
    def room(self) -> int:
        """How many ordinary ids there are in a row, counted from the last one down."""
        ordinary = self._ordinary()
        last = max(ordinary, default=-1)
        count = 0
        while last - count in ordinary:
            count += 1
        return count

    def _ordinary(self) -> set[int]:
        """Ids but for added tokens, and for what texts fall apart into: bytes, or single characters."""
        added = set(self._tokenizer.get_added_tokens_decoder())
        vocabulary = self._tokenizer.get_vocab(with_added_tokens=False)
        has_bytes = BYTE.format(0) in vocabulary
        needed = {BYTE.format(byte) for byte in range(256)} if has_bytes else {t for t in vocabulary if len(t) == 1}
        return {index for token, index in vocabulary.items() if index not in added and token not in needed}

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=True).strip()

    def encode_batch(
        self, texts: Sequence[str], length: int
    ) -> tuple[Int64[np.ndarray, "batch tokens"], Bool[np.ndarray, "batch tokens"]]:
        ids = np.zeros((len(texts), length), np.int64)
        is_padding = np.ones((len(texts), length), np.bool_)
        for row, hidden, text in zip(ids, is_padding, texts, strict=True):
            tokens = self.encode(text)
            if len(tokens) > length:
                raise ValueError(f"an instruction may have {length} tokens, got {len(tokens)}: '{text}'")
            row[: len(tokens)], hidden[: len(tokens)] = tokens, False
        return ids, is_padding

    def to_json(self) -> str:
        return self.source
