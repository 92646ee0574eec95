"""Actions and an answer in words from one pass: both behind the same prefix, neither seen by the other.

    [prefix] ─┬─► [action tokens, slots, nothing]      what the head reads
              └─► [answer, word after word]

Source: VLA4CD (arXiv:2410.15885) trains driving and chat so; there the answer sees the actions, here neither sees the
other, so that what an arm does never depends on whether somebody asks for the answer.
"""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from vla.model.kinds import AnyModel


class Beside:
    """A backbone as heads read it, which on the way also reads an answer; heads call `hidden` or `forward`, once."""

    def __init__(self, backbone: Any, answer: Float[Tensor, "batch tokens width"]) -> None:
        self._backbone, self._answer = backbone, answer
        self.prefix: Float[Tensor, "batch prefix width"] | None = None
        """Hidden states of the prefix, once a head has read."""
        self.answer: Float[Tensor, "batch tokens width"] | None = None
        """Those of the answer."""

    @property
    def width(self) -> int:
        """Of hidden states."""
        return self._backbone.width

    def hidden(
        self, prefix: Any, new: Float[Tensor, "batch new width"], is_causal: bool
    ) -> Float[Tensor, "batch tokens width"]:
        """Hidden states of a prefix and of what is new, as the backbone gives them."""
        whole = self._backbone.hidden(prefix, new, is_causal, self._answer)
        num_known = whole.shape[1] - self._answer.shape[1]
        self.prefix, self.answer = whole[:, : prefix.tokens.shape[1]], whole[:, num_known:]
        return whole[:, :num_known]

    def forward(
        self, prefix: Any, slots: Float[Tensor, "batch slots width"], is_causal: bool
    ) -> Float[Tensor, "batch slots width"]:
        """Hidden states of what is new, as the backbone gives them."""
        return self.hidden(prefix, slots, is_causal)[:, prefix.tokens.shape[1] :]


def answer_beside(model: AnyModel, reader: Beside) -> Float[Tensor, "batch tokens vocabulary"]:
    """Logits of the answer that a head's pass read on the way.

    Raises:
        ValueError: if no head has read.
    """
    if reader.prefix is None or reader.answer is None:
        raise ValueError("no head has read this prefix yet")
    return model.answer_logits_of(reader.prefix, reader.answer)
