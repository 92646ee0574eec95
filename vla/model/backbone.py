"""What a vision-language backbone is to the rest: it embeds a prefix, and continues it.

    images, instruction, proprioception ─► embed ─► prefix ─► forward(prefix, new) ─► hidden states of what is new

Who attends to whom: prefix tokens see all prefix tokens that are not padding, or, where the prefix is causal, those
before them; what is new sees the prefix and, as its head says, all that is new or only what came before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from vla.model.cache import KeyValueCache


@dataclasses.dataclass(frozen=True)
class Past:
    """What the cameras saw at the control steps before the present one, oldest first, one step apart."""

    images: Mapping[str, UInt8[Tensor, "batch past height width 3"]]
    """By camera name; RGB."""
    is_padding: Bool[Tensor, "batch past"]
    """Where the episode had not begun."""


def require_past(past: Past | None, history: int) -> None:
    """Return if there are as many frames as a backbone reads, the present one included.

    Raises:
        ValueError: with both numbers.
    """
    found = 0 if past is None else past.is_padding.shape[1]
    if found != history - 1:
        raise ValueError(f"a history of {history} frames has {history - 1} before the present one, got {found}")


@runtime_checkable
class Embedded(Protocol):
    """Everything seen and said, embedded, with its padding mask."""

    @property
    def tokens(self) -> Float[Tensor, "batch tokens width"]: ...

    @property
    def is_padding(self) -> Bool[Tensor, "batch tokens"]: ...

    @property
    def grounding(self) -> Float[Tensor, "batch roles cells"] | None:
        """Attention logits of the named roles over the first camera's cells; None where nothing is named."""
        ...


@runtime_checkable
class BackboneConfig(Protocol):
    """What a checkpoint remembers of a backbone."""

    @property
    def text_tokens(self) -> int:
        """The longest instruction, in tokens."""
        ...

    @property
    def history(self) -> int:
        """Frames of each camera that are seen at once, the present one included."""
        ...

    def to_json(self) -> dict[str, Any]: ...


@runtime_checkable
class Backbone(Protocol):
    """A vision-language model, but for what is said about actions."""

    @property
    def width(self) -> int:
        """Of hidden states."""
        ...

    @property
    def num_prefix_tokens(self) -> int: ...

    @property
    def is_prefix_causal(self) -> bool:
        """Whether prefix tokens see only those before them."""
        ...

    def embed(
        self,
        images: Mapping[str, UInt8[Tensor, "batch height width 3"]],
        text: Int64[Tensor, "batch text_tokens"],
        text_is_padding: Bool[Tensor, "batch text_tokens"],
        state: Float[Tensor, "batch state_dim"],
        *,
        insulated: bool = False,
        past: Past | None = None,
    ) -> Embedded:
        """The prefix.

        Args:
            images: by camera name; RGB.
            state: normalised proprioception.
            insulated: whether gradients through the prefix's tokens end before what sees and reads.
            past: the frames before the present ones; None where the history is one frame.
        """
        ...

    def forward(
        self, prefix: Any, slots: Float[Tensor, "batch slots width"], is_causal: bool
    ) -> Float[Tensor, "batch slots width"]:
        """Hidden states of what follows a prefix, computed in one pass."""
        ...

    def new_cache(self, prefix: Float[Tensor, "batch prefix width"], num_tokens: int) -> KeyValueCache:
        """An empty cache for a prefix and `num_tokens` tokens behind it."""
        ...
