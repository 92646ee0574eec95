"""The policy of heads that say tokens: observations through the model to action tokens, and back to actions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from vla.decoding.token_decoder import Choice, Decoded, TokenDecoder
from vla.decoding.token_model import EmbeddedPrefix
from vla.embodiment import Embodiment
from vla.interfaces import PADDING_ID, ActionChunk, Observation, check_observation
from vla.normalization import Statistics
from vla.tokens.bins import BinTokenizer
from vla_policies.certainty import TokenEntropy
from vla_policies.checkpoint import Checkpoint, load_checkpoint
from vla_policies.decisions import ChunkTokens
from vla_policies.model_inputs import InputMaker
from vla_policies.telling import ask_all, tell
from vla_policies.wrapping import committed_of


class TokenPolicy:
    """A checkpoint at work. Stateless: every chunk depends on one observation alone."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str | None = None,
        batch_size: int = 8,
        choice: Choice | None = None,
    ) -> None:
        """Load the model.

        Args:
            device: where to run; a GPU if there is one.
            batch_size: of every pass through the model; 1 answers a single robot soonest.
            choice: which token is taken; if not given, the median of ids that are in order, else the most likely one.
        """
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._checkpoint = checkpoint
        self._batch_size = batch_size
        self._model = checkpoint.build_model().to(self._device)
        tokenizer = checkpoint.action_tokenizer
        choice = choice or (Choice.MEDIAN if tokenizer.is_ordered else Choice.MODE)
        self._decoder = TokenDecoder(self._model, tokenizer.grammar(), choice)
        self._inputs = InputMaker(checkpoint, batch_size, self._device)

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
        """Nothing to forget."""

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        return self.predict_with_entropy(observations, committed)[0]

    def predict_with_entropy(
        self, observations: Sequence[Observation], committed: Sequence[np.ndarray | None] | None = None
    ) -> tuple[list[ActionChunk], list[TokenEntropy]]:
        """The chunks of `predict`, and how sure the model was of each one's tokens.

        Tokens that committed actions force count as the others do: the model had a distribution there too.
        """
        chunks, rows = self._predict(observations, committed)
        return chunks, [_entropy(row) for row in rows]

    @property
    def token_grid(self) -> tuple[str, ...] | None:
        """See `vla_policies.decisions.DecidingPolicy`."""
        fields = tuple(field.name for field in self.embodiment.action)
        return fields if isinstance(self._checkpoint.action_tokenizer, BinTokenizer) else None

    def predict_with_tokens(
        self, observations: Sequence[Observation], committed: Sequence[np.ndarray | None] | None = None
    ) -> tuple[list[ActionChunk], list[ChunkTokens]]:
        """The chunks of `predict`, and the tokens of each."""
        return self._predict(observations, committed)

    def token_log_probability(
        self,
        observations: Sequence[Observation],
        ids: Sequence[Int64[np.ndarray, " tokens"]],
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> Float32[np.ndarray, " observations"]:
        """See `vla_policies.decisions.DecidingPolicy`."""
        first = committed_of(committed, len(observations), self.embodiment.action_dim)
        found: list[float] = []
        for start in range(0, len(observations), self._batch_size):
            batch = slice(start, start + self._batch_size)
            prefix, forced = self._embed(observations[batch], first[batch])
            told = self._padded(_padded_ids(ids[batch]))
            sums = _to_numpy(self._decoder.score(prefix, told, forced).sum(1))
            found += [total / len(own) for total, own in zip(sums, ids[batch], strict=False)]
        return np.array(found, np.float32)

    def _predict(
        self, observations: Sequence[Observation], committed: Sequence[np.ndarray | None] | None
    ) -> tuple[list[ActionChunk], list[ChunkTokens]]:
        for observation in observations:
            check_observation(observation, self.embodiment)
        first = committed_of(committed, len(observations), self.embodiment.action_dim)
        chunks: list[ActionChunk] = []
        tokens: list[ChunkTokens] = []
        for start in range(0, len(observations), self._batch_size):
            batch = slice(start, start + self._batch_size)
            decoded = self.decode(observations[batch], first[batch])
            chunks += self._chunks(decoded, observations[batch], first[batch])
            tokens += _tokens(decoded)[: len(observations[batch])]
        return chunks, tokens

    def decode(
        self,
        observations: Sequence[Observation],
        committed: Sequence[Float32[np.ndarray, "_ action_dim"]] | None = None,
    ) -> Decoded:
        """Action tokens, log-probabilities and entropies of at most one batch of observations.

        Args:
            committed: actions that each row begins with, where the tokens are such that they can.
        """
        return self._decoder.decode(*self._embed(observations, committed))

    @property
    def answers_in_words(self) -> bool:
        """Whether it can be asked something."""
        return self._model.num_answer_tokens > 0

    def predict_and_tell(
        self, observations: Sequence[Observation], question: str
    ) -> tuple[list[ActionChunk], list[str]]:
        """Chunks, and answers to a question about what is seen: both from one prefix, of at most one batch.

        Raises:
            CheckpointError: if the policy does not answer in words.
        """
        asked = ask_all(observations, question)
        first = committed_of(None, len(asked), self.embodiment.action_dim)
        prefix, forced = self._embed(asked, first)
        chunks = self._chunks(self._decoder.decode(prefix, forced), asked, first)
        return chunks, tell(self._model, self._checkpoint.text_tokenizer, prefix)[: len(asked)]

    @torch.no_grad()
    def _embed(
        self,
        observations: Sequence[Observation],
        committed: Sequence[Float32[np.ndarray, "_ action_dim"]] | None,
    ) -> tuple[EmbeddedPrefix, Int64[Tensor, "batch tokens"] | None]:
        """What the decoder reads of a batch: the prefix, and the tokens that are forced."""
        forced = None if committed is None else self._forced(committed)
        inputs = self._inputs.make(observations, None if forced is None else committed)
        prefix = self._model.backbone.embed(
            inputs.images, inputs.text, inputs.text_is_padding, inputs.state, past=inputs.past
        )
        return prefix, None if forced is None else self._padded(forced)

    def _chunks(
        self,
        decoded: Decoded,
        observations: Sequence[Observation],
        committed: Sequence[Float32[np.ndarray, "_ action_dim"]],
    ) -> list[ActionChunk]:
        ids = decoded.ids[: len(observations)]
        actions = self._checkpoint.action_tokenizer.decode_committed(_to_numpy(ids), committed)
        valid_s = self.horizon * self.embodiment.control_dt_s
        return [
            ActionChunk(chunk, start_s=observation.time_s, valid_s=valid_s)
            for chunk, observation in zip(actions, observations, strict=True)
        ]

    def _forced(
        self, committed: Sequence[Float32[np.ndarray, "_ action_dim"]]
    ) -> Int64[np.ndarray, "rows tokens"] | None:
        """The tokens that the committed actions determine, by row."""
        tokenizer = self._checkpoint.action_tokenizer
        counts = np.array([tokenizer.num_committed(len(actions)) for actions in committed])
        if not counts.any():
            return None
        chunks = np.zeros((len(committed), self.horizon, self.embodiment.action_dim), np.float32)
        for chunk, actions in zip(chunks, committed, strict=True):
            chunk[: len(actions)] = actions
        ids = tokenizer.encode_batch(chunks)
        return np.where(np.arange(ids.shape[1]) < counts[:, None], ids, PADDING_ID)

    def _padded(self, forced: Int64[np.ndarray, "rows tokens"]) -> Int64[Tensor, "batch tokens"]:
        whole = np.full((self._batch_size, forced.shape[1]), PADDING_ID, np.int64)
        whole[: len(forced)] = forced
        return torch.from_numpy(whole).to(self._device)


def _tokens(decoded: Decoded) -> list[ChunkTokens]:
    """Of every row, up to its end."""
    ids, entropy = _to_numpy(decoded.ids), _to_numpy(decoded.entropy)
    probability = np.exp(_to_numpy(decoded.log_probability))
    lengths = _to_numpy(decoded.lengths)
    return [
        ChunkTokens(ids[row, :length], probability[row, :length], entropy[row, :length])
        for row, length in enumerate(lengths)
    ]


def _padded_ids(ids: Sequence[Int64[np.ndarray, " tokens"]]) -> Int64[np.ndarray, "rows tokens"]:
    padded = np.full((len(ids), max(len(row) for row in ids)), PADDING_ID, np.int64)
    for row, own in zip(padded, ids, strict=True):
        row[: len(own)] = own
    return padded


def _entropy(tokens: ChunkTokens) -> TokenEntropy:
    return TokenEntropy(
        float(tokens.entropy.sum()) / max(1, len(tokens.entropy)), float(tokens.entropy.max(initial=0.0))
    )


def _to_numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()
