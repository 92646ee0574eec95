"""The policy `vla`: observations through the model to action tokens, and back to actions.

Inference runs on batches of one fixed size, padded, so that what a policy does in one episode does not depend on how
many others run beside it: the last bits of a matrix product depend on the shape of the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from vla.decoding.token_decoder import Choice, Decoded, TokenDecoder
from vla.embodiment import Embodiment
from vla.interfaces import ActionChunk, Observation, check_observation
from vla_policies.checkpoint import Checkpoint, load_checkpoint


class TokenPolicy:
    """A checkpoint at work. Stateless: every chunk depends on one observation alone."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str | None = None,
        batch_size: int = 8,
        choice: Choice = Choice.MEDIAN,
    ) -> None:
        """Load the model.

        Args:
            device: where to run; a GPU if there is one.
            batch_size: of every pass through the model; 1 answers a single robot soonest.
            choice: which token is taken; the median, since bins are in order.
        """
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._checkpoint = checkpoint
        self._batch_size = batch_size
        self._model = checkpoint.build_model().to(self._device)
        self._decoder = TokenDecoder(self._model, checkpoint.action_tokenizer.grammar(), choice)
        self._normalizer = checkpoint.state_normalizer
        self._encode = functools.lru_cache(maxsize=4096)(self._encode_text)

    @classmethod
    def from_checkpoint(cls, directory: Path, *, device: str | None = None, batch_size: int = 8) -> TokenPolicy:
        """The policy of a checkpoint folder.

        Raises:
            CheckpointError: naming the file that is absent or altered.
        """
        return cls(load_checkpoint(directory), device=device, batch_size=batch_size)

    @property
    def embodiment(self) -> Embodiment:
        return self._checkpoint.embodiment

    @property
    def horizon(self) -> int:
        return self._checkpoint.action_tokenizer.horizon

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        """Nothing to forget."""

    def predict(self, observations: Sequence[Observation], slots: Sequence[int] | None = None) -> list[ActionChunk]:
        for observation in observations:
            check_observation(observation, self.embodiment)
        chunks: list[ActionChunk] = []
        for start in range(0, len(observations), self._batch_size):
            chunks += self._predict_batch(observations[start : start + self._batch_size])
        return chunks

    def decode(self, observations: Sequence[Observation]) -> Decoded:
        """Action tokens, log-probabilities and entropies of at most one batch of observations."""
        padded = [*observations, *[observations[0]] * (self._batch_size - len(observations))]
        images = {camera.name: self._images(padded, camera.name) for camera in self.embodiment.cameras}
        state = np.stack([observation.proprioception for observation in padded])
        text, is_padding = zip(*(self._encode(observation.instruction) for observation in padded), strict=True)
        with torch.no_grad():
            prefix = self._model.backbone.embed(
                {name: torch.from_numpy(image).to(self._device) for name, image in images.items()},
                torch.from_numpy(np.concatenate(text)).to(self._device),
                torch.from_numpy(np.concatenate(is_padding)).to(self._device),
                torch.from_numpy(self._normalizer.normalise(state)).to(self._device),
            )
            return self._decoder.decode(prefix)

    def _predict_batch(self, observations: Sequence[Observation]) -> list[ActionChunk]:
        ids = self.decode(observations).ids[: len(observations)]
        actions = self._checkpoint.action_tokenizer.decode_batch(_to_numpy(ids))
        valid_s = self.horizon * self.embodiment.control_dt_s
        return [
            ActionChunk(chunk, start_s=observation.time_s, valid_s=valid_s)
            for chunk, observation in zip(actions, observations, strict=True)
        ]

    def _encode_text(self, instruction: str) -> tuple[np.ndarray, np.ndarray]:
        return self._checkpoint.text_tokenizer.encode_batch([instruction], self._checkpoint.backbone.text_tokens)

    @staticmethod
    def _images(observations: Sequence[Observation], camera: str) -> UInt8[np.ndarray, "batch height width 3"]:
        return np.stack([observation.images[camera] for observation in observations])


def _to_numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
