"""From observations to what a model reads: batches of one fixed size, on its device.

Inference runs on batches of one fixed size, padded, so that what a policy does in one episode does not depend on how
many others run beside it: the last bits of a matrix product depend on the shape of the batch.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor

from vla.dead_reckoning import after
from vla.interfaces import Observation
from vla.model.backbone import Past
from vla_policies.checkpoint import Checkpoint
from vla_policies.history import window_of


@dataclasses.dataclass(frozen=True)
class ModelInputs:
    """What `embed` of a backbone takes, in its order."""

    images: Mapping[str, UInt8[Tensor, "batch height width 3"]]
    text: Int64[Tensor, "batch text_tokens"]
    text_is_padding: Bool[Tensor, "batch text_tokens"]
    state: Float[Tensor, "batch state_dim"]
    past: Past | None = None


class InputMaker:
    """Makes inputs for the model of a checkpoint; a sentence is tokenised once."""

    def __init__(self, checkpoint: Checkpoint, batch_size: int, device: torch.device) -> None:
        """Remember no sentence yet."""
        self._checkpoint, self._batch_size, self._device = checkpoint, batch_size, device
        self._normalizer = checkpoint.state_normalizer
        self._encode = functools.lru_cache(maxsize=4096)(self._encode_text)

    def make(
        self,
        observations: Sequence[Observation],
        moved_by: Sequence[Float32[np.ndarray, "_ action_dim"]] | None = None,
    ) -> ModelInputs:
        """The inputs of at most one batch; the rows that are missing repeat the first.

        Args:
            moved_by: actions of each row after which its proprioception is wanted.

        Raises:
            ObservationError: if the model sees a history, and an observation comes without one.
        """
        body = self._checkpoint.embodiment
        padded = [*observations, *[observations[0]] * (self._batch_size - len(observations))]
        state = np.stack([observation.proprioception for observation in padded])
        for row, actions in enumerate(moved_by or ()):
            state[row] = after(state[row], actions, body)
        text, is_padding = zip(*(self._encode(observation.instruction) for observation in padded), strict=True)
        images = {camera.name: np.stack([seen.images[camera.name] for seen in padded]) for camera in body.cameras}
        return ModelInputs(
            {name: self._tensor(image) for name, image in images.items()},
            self._tensor(np.concatenate(text)),
            self._tensor(np.concatenate(is_padding)),
            self._tensor(self._normalizer.normalise(state)),
            self._past(padded),
        )

    def _past(self, padded: Sequence[Observation]) -> Past | None:
        history = self._checkpoint.backbone.history
        if history == 1:
            return None
        windows, is_padding = zip(*(window_of(observation, history) for observation in padded), strict=True)
        images = {
            camera.name: np.stack([[pictures[camera.name] for pictures in window] for window in windows])
            for camera in self._checkpoint.embodiment.cameras
        }
        return Past({name: self._tensor(image) for name, image in images.items()}, self._tensor(np.array(is_padding)))

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _encode_text(self, instruction: str) -> tuple[np.ndarray, np.ndarray]:
        return self._checkpoint.text_tokenizer.encode_batch([instruction], self._checkpoint.backbone.text_tokens)
