"""What stands around pictures and instruction in a model's prompt: as text, and as the ids its tokenizer makes of it.

    before [open picture close] [open picture close] ... opening instruction state closing | actions
    before [open picture close]                          opening question          closing | answer end

The first action token, or token of an answer, is predicted from the last token of `closing`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from vla.errors import ConfigError
from vla.tokens.words import PLACE, PretrainedWords

PARTS = ("before", "picture_open", "picture_close", "opening", "closing")
END = "end"


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A family's habit, as text."""

    closing: str
    before: str = ""
    picture_open: str = ""
    picture_close: str = ""
    opening: str = ""
    instruction: str = PLACE
    question: str = PLACE
    """What a question is written into."""
    end: str = ""
    """Ends an answer."""
    is_lower_case: bool = False
    """Whether instructions are written in lower case."""
    specials: tuple[str, ...] = ()
    """Tokens among these texts that the tokenizer must know as one."""

    def words(self, tokenizer: str) -> PretrainedWords:
        """The tokenizer in a `tokenizer.json`, writing as this family does."""
        return PretrainedWords(tokenizer, self.instruction, self.is_lower_case, self.question)

    def ids(self, words: PretrainedWords) -> PromptIds:
        """The ids of every part.

        Raises:
            ConfigError: naming the tokens that the tokenizer lacks.
        """
        missing = [token for token in self.specials if words.id_of(token) is None]
        if missing:
            raise ConfigError(f"the tokenizer lacks what this model's prompt is made of: {', '.join(missing)}")
        return PromptIds(**{part: self._ids(getattr(self, part), words) for part in (*PARTS, END)})

    def _ids(self, text: str, words: PretrainedWords) -> tuple[int, ...]:
        alone = words.id_of(text) if text in self.specials else None
        return tuple(words.pieces(text)) if alone is None else (alone,)


@dataclasses.dataclass(frozen=True)
class PromptIds:
    """A prompt's parts, as ids."""

    before: tuple[int, ...]
    picture_open: tuple[int, ...]
    picture_close: tuple[int, ...]
    opening: tuple[int, ...]
    closing: tuple[int, ...]
    end: tuple[int, ...] = ()
    """The token that ends an answer; none in checkpoints of before there were answers."""

    def __post_init__(self) -> None:
        if not self.closing:
            raise ConfigError("a prompt needs a closing token, from which the first action is predicted")
        if len(self.end) > 1:
            raise ConfigError(f"an answer ends with one token, this tokenizer writes {len(self.end)}")

    def to_json(self) -> dict[str, Any]:
        return {part: list(getattr(self, part)) for part in (*PARTS, END)}

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> PromptIds:
        """The prompt that `to_json` wrote."""
        ids = {part: tuple(int(index) for index in tree[part]) for part in PARTS}
        return PromptIds(**ids, end=tuple(int(index) for index in tree.get(END, ())))
