"""The policy of continuous heads: observations through the model to numbers, and those to actions inside the limits.

    noise of (episode's seed, how many chunks it has had) ─┐
    observation ─► prefix ─────────────────────────────────┴─► head ─► un-normalised ─► cut at the limits ─► chunk

What a flow does in an episode depends on the episode's seed and observations alone: noise is drawn for each episode by
itself, never for a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from vla.embodiment import Embodiment
from vla.errors import CheckpointError
from vla.interfaces import ActionChunk, Observation, check_observation
from vla.model.continuous import Committed
from vla.normalization import Statistics
from vla_policies.checkpoint import Checkpoint, load_checkpoint
from vla_policies.model_inputs import InputMaker
from vla_policies.telling import ask_all, tell
from vla_policies.wrapping import committed_of, slots_of

_NOISE_STREAM = 0xF10A
"""Keeps a policy's random numbers apart from those of the scene, which has the same seed."""

Actions = Float32[np.ndarray, "_ action_dim"]


class ContinuousPolicy:
    """A checkpoint with a continuous head at work. An episode that was not begun has seed 0."""

    def __init__(self, checkpoint: Checkpoint, *, device: str | None = None, batch_size: int = 8) -> None:
        """Load the model.

        Args:
            device: where to run; a GPU if there is one.
            batch_size: of every pass through the model; 1 answers a single robot soonest.

        Raises:
            CheckpointError: if the checkpoint's head says tokens.
            StatisticsError: if it lacks the statistics of its actions.
        """
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._checkpoint, self._batch_size = checkpoint, batch_size
        self._model = checkpoint.build_model().to(self._device)
        if self._model.continuous is None:
            raise CheckpointError(f"expected a head that says numbers, got head={checkpoint.head.value}")
        self._head = self._model.continuous
        self._inputs = InputMaker(checkpoint, batch_size, self._device)
        self._normalizer = checkpoint.action_normalizer
        self._begun: dict[int, tuple[int, int]] = {}  # seed, and chunks so far, by slot

    @classmethod
    def from_checkpoint(cls, directory: Path, *, device: str | None = None, batch_size: int = 8) -> ContinuousPolicy:
        """The policy of a checkpoint folder.

        Raises:
            CheckpointError: naming the file that is absent or altered.
        """
        return cls(load_checkpoint(directory), device=device, batch_size=batch_size)

    @property
    def embodiment(self) -> Embodiment:
        return self._checkpoint.embodiment

    @property
    def state_statistics(self) -> Statistics:
        """Of the numbers of proprioception in its training."""
        return self._checkpoint.statistics

    @property
    def horizon(self) -> int:
        return self._checkpoint.action_tokenizer.horizon

    @property
    def history(self) -> int:
        """See `vla_policies.history`."""
        return self._checkpoint.backbone.history

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        self._begun |= {slot: (seed, 0) for slot, seed in zip(slots_of(seeds, slots), seeds, strict=True)}

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        for observation in observations:
            check_observation(observation, self.embodiment)
        slots = slots_of(observations, slots)
        first = committed_of(committed, len(observations), self.embodiment.action_dim)
        noise = [self._noise(slot) for slot in slots]
        chunks: list[ActionChunk] = []
        for start in range(0, len(observations), self._batch_size):
            batch = slice(start, start + self._batch_size)
            chunks += self._chunks(observations[batch], noise[batch], first[batch])
        for slot in slots:  # only now: a batch that fails is asked again, row by row
            seed, count = self._begun.get(slot, (0, 0))
            self._begun[slot] = (seed, count + 1)
        return chunks

    def _noise(self, slot: int) -> Float32[np.ndarray, "horizon action_dim"]:
        generator = np.random.default_rng([_NOISE_STREAM, *self._begun.get(slot, (0, 0))])
        return generator.standard_normal((self.horizon, self.embodiment.action_dim), np.float32)

    @property
    def answers_in_words(self) -> bool:
        """Whether it can be asked something."""
        return self._model.num_answer_tokens > 0

    def predict_and_tell(
        self, observations: Sequence[Observation], question: str, slots: Sequence[int] | None = None
    ) -> tuple[list[ActionChunk], list[str]]:
        """Chunks, and answers to a question about what is seen: both from one prefix, of at most one batch.

        Raises:
            CheckpointError: if the policy does not answer in words.
        """
        asked = ask_all(observations, question)
        first = committed_of(None, len(asked), self.embodiment.action_dim)
        prefix = self._embed(asked, first)
        noise = [self._noise(slot) for slot in slots_of(asked, slots)]
        chunks = self._said(prefix, asked, noise, first)
        return chunks, tell(self._model, self._checkpoint.text_tokenizer, prefix)[: len(asked)]

    def _chunks(
        self,
        observations: Sequence[Observation],
        noise: Sequence[Float32[np.ndarray, "horizon action_dim"]],
        committed: Sequence[Actions],
    ) -> list[ActionChunk]:
        return self._said(self._embed(observations, committed), observations, noise, committed)

    @torch.no_grad()
    def _embed(self, observations: Sequence[Observation], committed: Sequence[Actions]) -> Any:
        inputs = self._inputs.make(observations, committed)
        return self._model.backbone.embed(
            inputs.images, inputs.text, inputs.text_is_padding, inputs.state, past=inputs.past
        )

    @torch.no_grad()
    def _said(
        self,
        prefix: Any,
        observations: Sequence[Observation],
        noise: Sequence[Float32[np.ndarray, "horizon action_dim"]],
        committed: Sequence[Actions],
    ) -> list[ActionChunk]:
        beginning = torch.from_numpy(self._whole(noise)).to(self._device)
        found = self._head.predict(self._model.backbone, prefix, beginning, self._known(committed))
        actions = self._normalizer.unnormalise(found.cpu().numpy())
        actions = np.clip(actions, self.embodiment.action_low, self.embodiment.action_high)
        valid_s = self.horizon * self.embodiment.control_dt_s
        return [
            ActionChunk(np.concatenate([first, chunk[len(first) :]]), observation.time_s, valid_s)
            for chunk, first, observation in zip(actions, committed, observations, strict=False)
        ]

    def _known(self, committed: Sequence[Actions]) -> Committed:
        shape = (self._batch_size, self.horizon, self.embodiment.action_dim)
        actions, is_known = np.zeros(shape, np.float32), np.zeros(shape[:2], np.bool_)
        for row, first in enumerate(committed):
            actions[row, : len(first)] = self._normalizer.normalise(first)
            is_known[row, : len(first)] = True
        return Committed(torch.from_numpy(actions).to(self._device), torch.from_numpy(is_known).to(self._device))

    def _whole(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """A full batch, the rows that are missing zero."""
        whole = np.zeros((self._batch_size, *rows[0].shape), np.float32)
        whole[: len(rows)] = rows
        return whole
