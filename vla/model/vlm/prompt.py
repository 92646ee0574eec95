"""What stands around pictures and instruction in a model's prompt: as text, and as the ids its tokenizer makes of it.

    before [open picture close] [open picture close] ... opening instruction state closing | actions

The first action token is predicted from the last token of `closing`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from vla.errors import ConfigError
from vla.tokens.words import PLACE, PretrainedWords

PARTS = ("before", "picture_open", "picture_close", "opening", "closing")


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A family's habit, as text."""

    closing: str
    before: str = ""
    picture_open: str = ""
    picture_close: str = ""
    opening: str = ""
    instruction: str = PLACE
    is_lower_case: bool = False
    """Whether instructions are written in lower case."""
    specials: tuple[str, ...] = ()
    """Tokens among these texts that the tokenizer must know as one."""

    def ids(self, words: PretrainedWords) -> PromptIds:
        """The ids of every part.

        Raises:
            ConfigError: naming the tokens that the tokenizer lacks.
        """
        missing = [token for token in self.specials if words.id_of(token) is None]
        if missing:
            raise ConfigError(f"the tokenizer lacks what this model's prompt is made of: {', '.join(missing)}")
        return PromptIds(**{part: self._ids(getattr(self, part), words) for part in PARTS})

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

    def __post_init__(self) -> None:
        if not self.closing:
            raise ConfigError("a prompt needs a closing token, from which the first action is predicted")

    def to_json(self) -> dict[str, Any]:
        return {part: list(getattr(self, part)) for part in PARTS}

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> PromptIds:
        """The prompt that `to_json` wrote."""
        return PromptIds(**{part: tuple(int(index) for index in tree[part]) for part in PARTS})
