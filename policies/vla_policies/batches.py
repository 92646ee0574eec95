"""From frames in memory to what one training step takes.

Every batch is a function of the frames, the indices and a generator: nothing is remembered from one to the next.

Some samples are as real-time chunking will ask them: the first d actions are committed to, here those that were really
carried out after the frame, noise and blunders included; the rest is what the expert would do after them.

    frame i                  see image i, proprioception i moved by what is committed to
    committed, d = 2         executed i, executed i+1
    to be found                                       to imitate from frame i+2 on ...
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor

from vla.dead_reckoning import motion_map
from vla.interfaces import PADDING_ID, ActionTokenizer
from vla.model.backbone import Past
from vla.model.continuous import ChunkTargets
from vla.normalization import Normalizer
from vla.tokens.words import WordTokenizer
from vla_datasets.windows import Frames
from vla_policies.chunk_batches import ChunkBatches
from vla_policies.frame_questions import FrameQuestions

ALL = slice(None)
"""Every sample."""


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
    """Past the end of the sequence or of the episode, or committed to."""
    points: Float[Tensor, "batch roles 2"]
    """Where target and destination are in the first camera; NaN where there is none."""
    forced: Int64[Tensor, "batch tokens"] | None = None
    """Action tokens that are committed to; -1 where they are to be found."""
    chunks: ChunkTargets | None = None
    """The same actions as numbers, for heads that say numbers."""
    answers: Int64[Tensor, "batch answer_tokens"] | None = None
    """What the question that stands behind the instruction is answered with, the end included; -1 is padding, also
    of a whole row that asks nothing. None if no sample asks."""
    past: Past | None = None
    """The frames before; None where the history is one frame."""


class FrameBatches:
    """Frames on the training device, tokenised once."""

    def __init__(
        self,
        frames: Frames,
        action_tokenizer: ActionTokenizer,
        text_tokenizer: WordTokenizer,
        text_tokens: int,
        normalizer: Normalizer,
        device: torch.device,
        *,
        shift_pixels: int,
        committed_share: float = 0.0,
        chunks: ChunkBatches | None = None,
        questions: FrameQuestions | None = None,
        history: int = 1,
        trims_text: bool = False,
    ) -> None:
        """Tokenise the frames.

        Args:
            shift_pixels: farthest shift of a picture.
            committed_share: of the samples, those whose first actions are committed to.
            chunks: of the same frames, for heads that say numbers.
            questions: about the same frames, if samples are to carry any.
            history: frames that are seen at once, the present one included.
            trims_text: whether a batch's text ends with its longest instruction; else at `text_tokens`, always.
        """
        self._questions = questions
        text, text_is_padding = text_tokenizer.encode_batch(frames.instructions, text_tokens)
        actions = action_tokenizer.encode_batch(frames.chunks)

        def on_device(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        self._images = {name: on_device(images) for name, images in frames.images.items()}
        self._state = on_device(normalizer.normalise(frames.proprioception))
        self._actions = on_device(actions)
        self._is_padding = on_device(_token_padding(actions, frames.chunk_padding, action_tokenizer))
        self._points = on_device(np.stack([frames.target, frames.destination], axis=1))
        self._text, self._text_is_padding = on_device(text), on_device(text_is_padding)
        self._instruction = on_device(frames.instruction_index.astype(np.int64))
        # On the host: to ask a device how long a batch is would stop it.
        words = (~text_is_padding).sum(1)
        self._num_words = words[frames.instruction_index] if trims_text and questions is None else None
        self._chunks, can_force = chunks, action_tokenizer.num_committed(1) > 0
        self._commits = committed_share > 0 and (can_force or chunks is not None)
        self._can_force = can_force
        if self._commits:
            self._executed = on_device(action_tokenizer.encode_batch(frames.executed()))
            self._steps_left = on_device(frames.steps_left.astype(np.int64))
            # A delay is at most half of the horizon.
            counts = [action_tokenizer.num_committed(steps) for steps in range(action_tokenizer.horizon // 2 + 1)]
            self._num_committed = on_device(np.array(counts))
            self._motion = on_device(_normalised_motion(frames, normalizer, len(counts)))
        self._past = None
        if history > 1:
            rows, is_none = frames.history(np.arange(len(frames)), history)
            self._past = on_device(rows[:, :-1].astype(np.int64)), on_device(is_none[:, :-1])
        self._device, self._shift, self._committed_share = device, shift_pixels, committed_share

    def batch(
        self, indices: Int64[np.ndarray, " whole"], generator: torch.Generator | None, share: slice = ALL
    ) -> Batch:
        """These frames, each camera's picture shifted by a few pixels if there is a generator.

        Args:
            share: which of them to give; what is random is drawn for all, so that shares put together are the whole.
        """
        whole = torch.from_numpy(indices).to(self._device)
        index = whole[share]
        points = self._points[index]
        images: dict[str, Tensor] = {}
        before: dict[str, Tensor] = {}
        for number, (name, frames) in enumerate(self._images.items()):
            shift = self._shifts(len(whole), generator, share)
            images[name] = shifted(frames, index, shift) if shift is not None else frames[index]
            if self._past is not None:
                before[name] = _before(frames, self._past[0][index], shift)
            if number == 0 and shift is not None:
                height, width = frames.shape[1:3]
                points = points + shift[:, None] / torch.tensor([width, height], device=self._device)
        sentence = self._instruction[index]
        state = self._state[index]
        actions, is_padding, forced, steps = self._actions[index], self._is_padding[index], None, None
        if generator is not None and self._commits:
            steps = self._committed_steps(whole, generator)[share]
            state = state + self._motion[index, steps]
            actions, is_padding, forced = self._targets(index, steps)
        chunks = None if self._chunks is None else self._chunks.targets(whole, steps, generator, share)
        longest = None if self._num_words is None else max(int(self._num_words[indices[share]].max(initial=0)), 1)
        text, text_is_padding = self._text[sentence, :longest], self._text_is_padding[sentence, :longest]
        answers = None
        if generator is not None and self._questions is not None:
            asked = self._questions.asked(whole, self._instruction[whole], generator)[share]
            text, text_is_padding, answers = asked.instead_of(text, text_is_padding)
        return Batch(
            images,
            text,
            text_is_padding,
            state,
            actions,
            is_padding,
            points,
            forced,
            chunks,
            answers,
            None if self._past is None else Past(before, self._past[1][index]),
        )

    def _targets(
        self, index: Int64[Tensor, " batch"], steps: Int64[Tensor, " batch"]
    ) -> tuple[Int64[Tensor, "batch tokens"], Bool[Tensor, "batch tokens"], Int64[Tensor, "batch tokens"]]:
        """Action tokens, which of them do not count, and those that are committed to (-1 elsewhere).

        Tokens that each stand for a whole chunk cannot begin with given actions: those of such rows do not count.
        """
        if not self._can_force:
            actions = self._actions[index]
            is_padding = self._is_padding[index] | (steps > 0)[:, None]
            return actions, is_padding, torch.full_like(actions, PADDING_ID)
        later = index + steps
        place = torch.arange(self._actions.shape[1], device=self._device)
        since = place - self._num_committed[steps][:, None]  # tokens after the committed ones
        is_committed = since < 0
        source = since.clamp(min=0)
        actions = torch.where(is_committed, self._executed[index], self._actions[later].gather(1, source))
        is_padding = is_committed | self._is_padding[later].gather(1, source)
        return actions, is_padding, actions.masked_fill(~is_committed, PADDING_ID)

    def _committed_steps(self, index: Int64[Tensor, " batch"], generator: torch.Generator) -> Int64[Tensor, " batch"]:
        """How many actions each row commits to: none, or from one to half of the horizon, inside its episode."""
        most = len(self._num_committed) - 1
        is_given = torch.rand(len(index), generator=generator) < self._committed_share
        steps = (
            torch.randint(1, most + 1, (len(index),), generator=generator) * is_given if most else is_given.long() * 0
        )
        return torch.minimum(steps.to(self._device), self._steps_left[index])

    def _shifts(self, batch: int, generator: torch.Generator | None, share: slice) -> Tensor | None:
        if generator is None or self._shift == 0:
            return None
        return torch.randint(-self._shift, self._shift + 1, (batch, 2), generator=generator)[share].to(self._device)


def _normalised_motion(
    frames: Frames, normalizer: Normalizer, counts: int
) -> Float32[np.ndarray, "frames counts state_dim"]:
    """How far the next 0, 1, 2, ... executed actions move normalised proprioception."""
    body = frames.embodiment
    executed = frames.executed()[:, : counts - 1] @ motion_map(body)  # (frames, counts - 1, state_dim)
    moved = np.concatenate([np.zeros_like(executed[:, :1]), executed.cumsum(axis=1)], axis=1)
    still = np.zeros((1, body.state_dim), np.float32)
    return (normalizer.normalise(moved) - normalizer.normalise(still)).astype(np.float32)


def _token_padding(
    actions: Int64[np.ndarray, "frames tokens"],
    chunk_padding: Bool[np.ndarray, "frames horizon"],
    tokenizer: ActionTokenizer,
) -> Bool[np.ndarray, "frames tokens"]:
    """Which tokens do not count: those behind a sequence's end, and those of actions behind the episode's.

    Where an id stands for the whole chunk, the repeated last action at an episode's end is part of what it says.
    """
    is_padding = actions == PADDING_ID
    for step in range(tokenizer.horizon):
        of_step = slice(tokenizer.num_committed(step), tokenizer.num_committed(step + 1))
        is_padding[:, of_step] |= chunk_padding[:, step, None]
    return is_padding


def _before(
    frames: UInt8[Tensor, "frames height width 3"],
    index: Int64[Tensor, "batch past"],
    shift: Int64[Tensor, "batch 2"] | None,
) -> UInt8[Tensor, "batch past height width 3"]:
    """`frames[index]`, each sample's shifted as its present frame is."""
    if shift is None:
        return frames[index]
    whole = shift.repeat_interleave(index.shape[1], dim=0)
    return shifted(frames, index.flatten(), whole).unflatten(0, tuple(index.shape))


def shifted(
    frames: UInt8[Tensor, "frames height width 3"], index: Int64[Tensor, " batch"], shift: Int64[Tensor, "batch 2"]
) -> UInt8[Tensor, "batch height width 3"]:
    """`frames[index]`, each moved right and down by its shift in pixels; the border repeats."""
    height, width = frames.shape[1:3]
    rows = (torch.arange(height, device=index.device) - shift[:, 1:]).clamp(0, height - 1)
    columns = (torch.arange(width, device=index.device) - shift[:, :1]).clamp(0, width - 1)
    return frames[index[:, None, None], rows[:, :, None], columns[:, None, :]]
