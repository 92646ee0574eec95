"""From frames in memory to what one training step takes.

Every batch is a function of the frames, the indices and a generator: nothing is remembered from one to the next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from vla.normalization import Normalizer
from vla.tokens.bins import BinTokenizer
from vla.tokens.text import TextTokenizer
from vla_datasets.windows import Frames


@dataclasses.dataclass(frozen=True)
class Batch:
    """What one training step takes."""

    images: Mapping[str, UInt8[Tensor, "batch height width 3"]]
    text: Int64[Tensor, "batch text_tokens"]
    text_is_padding: Bool[Tensor, "batch text_tokens"]
    state: Float[Tensor, "batch state_dim"]
    """Normalised proprioception."""
    actions: Int64[Tensor, "batch tokens"]
    """As the action tokenizer numbers them."""
    is_padding: Bool[Tensor, "batch tokens"]
    """Past the end of the episode."""
    points: Float[Tensor, "batch roles 2"]
    """Where target and destination are in the first camera; NaN where there is none."""


class FrameBatches:
    """Frames on the training device, tokenised once."""

    def __init__(
        self,
        frames: Frames,
        action_tokenizer: BinTokenizer,
        text_tokenizer: TextTokenizer,
        text_tokens: int,
        normalizer: Normalizer,
        device: torch.device,
        *,
        shift_pixels: int,
    ) -> None:
        text, text_is_padding = text_tokenizer.encode_batch(frames.instructions, text_tokens)
        is_padding = np.repeat(frames.chunk_padding, action_tokenizer.action_dim, axis=1)

        def on_device(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        self._images = {name: on_device(images) for name, images in frames.images.items()}
        self._state = on_device(normalizer.normalise(frames.proprioception))
        self._actions = on_device(action_tokenizer.encode_batch(frames.chunks))
        self._is_padding = on_device(is_padding)
        self._points = on_device(np.stack([frames.target, frames.destination], axis=1))
        self._text, self._text_is_padding = on_device(text), on_device(text_is_padding)
        self._instruction = on_device(frames.instruction_index.astype(np.int64))
        self._device, self._shift = device, shift_pixels

    def batch(self, indices: Int64[np.ndarray, " batch"], generator: torch.Generator | None) -> Batch:
        """These frames, each camera's picture shifted by a few pixels if there is a generator."""
        index = torch.from_numpy(indices).to(self._device)
        points = self._points[index]
        images: dict[str, Tensor] = {}
        for number, (name, frames) in enumerate(self._images.items()):
            shift = self._shifts(len(index), generator)
            images[name] = shifted(frames, index, shift) if shift is not None else frames[index]
            if number == 0 and shift is not None:
                height, width = frames.shape[1:3]
                points = points + shift[:, None] / torch.tensor([width, height], device=self._device)
        sentence = self._instruction[index]
        return Batch(
            images,
            self._text[sentence],
            self._text_is_padding[sentence],
            self._state[index],
            self._actions[index],
            self._is_padding[index],
            points,
        )

    def _shifts(self, batch: int, generator: torch.Generator | None) -> Tensor | None:
        if generator is None or self._shift == 0:
            return None
        return torch.randint(-self._shift, self._shift + 1, (batch, 2), generator=generator).to(self._device)


def shifted(
    frames: UInt8[Tensor, "frames height width 3"], index: Int64[Tensor, " batch"], shift: Int64[Tensor, "batch 2"]
) -> UInt8[Tensor, "batch height width 3"]:
    """`frames[index]`, each moved right and down by its shift in pixels; the border repeats."""
    height, width = frames.shape[1:3]
    rows = (torch.arange(height, device=index.device) - shift[:, 1:]).clamp(0, height - 1)
    columns = (torch.arange(width, device=index.device) - shift[:, :1]).clamp(0, width - 1)
    return frames[index[:, None, None], rows[:, :, None], columns[:, None, :]]
