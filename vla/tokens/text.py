"""Instructions to token ids: byte-pair merges trained on the instruction corpus, with bytes as the last resort.

Any text encodes, whatever words it has: a word that the corpus never had falls apart into pieces, at worst bytes.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Int64
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from vla.errors import CheckpointError

PAD_ID = 0
_PAD = "<pad>"


class TextTokenizer:
    """Byte-level BPE. Id 0 is padding."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @staticmethod
    def train(sentences: Iterable[str], vocabulary_size: int, whole: Sequence[str] = ()) -> TextTokenizer:
        """The tokenizer whose merges compress these sentences best.

        Args:
            vocabulary_size: at least 257: the padding and every byte.
            whole: words that are one token each, wherever they stand; they come on top.
        """
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase(), normalizers.Strip()])
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            special_tokens=[_PAD],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(sentences, trainer)
        tokenizer.add_tokens([AddedToken(word, normalized=False, special=False) for word in whole])
        return TextTokenizer(tokenizer)

    @staticmethod
    def shipped() -> TextTokenizer:
        """The tokenizer of the tabletop instructions, which comes with the package."""
        text = importlib.resources.files("vla.tokens").joinpath("instructions.json").read_text("utf-8")
        return TextTokenizer.from_json(text)

    @property
    def vocabulary_size(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text).ids)

    def encode_question(self, text: str) -> list[int]:
        return self.encode(text)

    def encode_answer(self, text: str) -> list[int]:
        return self.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode([index for index in ids if index != PAD_ID]).strip()

    def encode_batch(
        self, texts: Sequence[str], length: int
    ) -> tuple[Int64[np.ndarray, "batch tokens"], Bool[np.ndarray, "batch tokens"]]:
        """Ids padded to `length`, and where they are padding.

        Raises:
            ValueError: if a text is longer than `length` tokens; nothing is cut off silently.
        """
        ids = np.full((len(texts), length), PAD_ID, np.int64)
        for row, text in zip(ids, texts, strict=True):
            tokens = self.encode(text)
            if len(tokens) > length:
                raise ValueError(f"an instruction may have {length} tokens, got {len(tokens)}: '{text}'")
            row[: len(tokens)] = tokens
        return ids, ids == PAD_ID

    def to_json(self) -> str:
        return self._tokenizer.to_str()

    @staticmethod
    def from_json(text: str) -> TextTokenizer:
        """The tokenizer that `to_json` wrote.

        Raises:
            CheckpointError: if the text is not a tokenizer.
        """
        try:
            return TextTokenizer(Tokenizer.from_str(text))
        except Exception as error:  # the library raises bare Exception
            raise CheckpointError(f"the text tokenizer cannot be read: {error}") from error
