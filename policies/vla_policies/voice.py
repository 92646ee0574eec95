"""How long questions and answers may be, how an answer ends, and what cannot be said."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from vla.model.kinds import AnyBackboneConfig
from vla.model.vla_model import END_ID
from vla.model.vlm.vlm_config import VlmConfig


@dataclasses.dataclass(frozen=True)
class Voice:
    """What a backbone can be asked, and can say."""

    text_tokens: int
    """Of the longest question."""
    answer_tokens: int
    """Of the longest answer, its end included."""
    end_id: int = END_ID
    unsaid: range = range(0)
    """Text ids that stand for actions, and are no words."""
    group: str = "backbone"
    """Of the options that say how long texts may be."""

    @staticmethod
    def of(backbone: AnyBackboneConfig, num_actions: int) -> Voice:
        """That of a backbone with a way to end an answer."""
        text, answer = backbone.text_tokens, backbone.answer_tokens
        if isinstance(backbone, VlmConfig):
            return Voice(text, answer, backbone.prompt.end[0], backbone.given_up(num_actions), "pretrained")
        return Voice(text, answer)

    @property
    def options(self) -> tuple[str, str]:
        """Those that say how long questions and answers may be."""
        return f"{self.group}.text_tokens", f"{self.group}.answer_tokens"

    def fits(self, asked: Sequence[int], told: Sequence[int]) -> bool:
        """Whether a question and its answer can be asked and said."""
        is_short = 0 < len(asked) <= self.text_tokens and len(told) < self.answer_tokens
        return is_short and not any(token in self.unsaid for token in (*asked, *told))
