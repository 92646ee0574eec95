"""Questions that robot samples carry beside their actions, with answers that the simulator's oracle gave the episode.

    put the red block on the blue pad. where is it?   ─► prefix ─┬─► action tokens
                                                                 └─► <loc0424><loc0648>

    task           what is to be done?     the task's name, in words
    colour         which colour?           of the thing to act on: the first colour that the instruction names
    target         where is it?            the place of the thing to act on in the first picture
    destination    where to?               the place to bring it to

A frame of which nothing is known (no place in sight, no colour named) is not asked.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from vla.errors import ConfigError, DataError
from vla.interfaces import PADDING_ID
from vla.tokens.text import TextTokenizer
from vla.tokens.words import WordTokenizer
from vla_datasets.web.samples import location_words
from vla_datasets.windows import Frames
from vla_policies.place_words import coarse
from vla_policies.voice import Voice

COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "cyan", "brown", "white", "black", "grey")
_COLOUR = re.compile(rf"\b({'|'.join(COLOURS)})\b")


class Asked(enum.Enum):
    """What may be asked about a frame."""

    TASK = "task"
    COLOUR = "colour"
    TARGET = "target"
    DESTINATION = "destination"


QUESTIONS = {
    Asked.TASK: "what is to be done?",
    Asked.COLOUR: "which colour?",
    Asked.TARGET: "where is it?",
    Asked.DESTINATION: "where to?",
}


def with_question(instruction: str, question: str) -> str:
    """What a policy is told that is asked something while it acts."""
    return f"{instruction.rstrip('.')}. {question}"


def sentences_of(frames: Frames, kinds: Sequence[Asked]) -> list[str]:
    """Instructions with these questions, and answers in words: what a tokenizer is to know."""
    asked = [with_question(sentence, QUESTIONS[kind]) for sentence in frames.instructions for kind in kinds]
    return [*asked, *(_task(row.task) for row in frames.episodes), *COLOURS]


@dataclasses.dataclass(frozen=True)
class AskedRows:
    """What samples are asked, and what is to be answered."""

    is_asked: Bool[Tensor, " batch"]
    text: Int64[Tensor, "batch text_tokens"]
    text_is_padding: Bool[Tensor, "batch text_tokens"]
    answers: Int64[Tensor, "batch tokens"]
    """-1 is padding, and all of a row that is not asked."""

    def __getitem__(self, rows: slice) -> AskedRows:
        """Some of them."""
        return AskedRows(self.is_asked[rows], self.text[rows], self.text_is_padding[rows], self.answers[rows])

    def instead_of(
        self, text: Int64[Tensor, "batch text_tokens"], text_is_padding: Bool[Tensor, "batch text_tokens"]
    ) -> tuple[Int64[Tensor, "batch text_tokens"], Bool[Tensor, "batch text_tokens"], Int64[Tensor, "batch tokens"]]:
        """Instructions, some with a question behind them, their padding, and the answers."""
        is_asked = self.is_asked[:, None]
        asked = torch.where(is_asked, self.text, text)
        return asked, torch.where(is_asked, self.text_is_padding, text_is_padding), self.answers


class FrameQuestions:
    """Questions about the frames of a run, tokenised once."""

    def __init__(
        self,
        frames: Frames,
        kinds: Sequence[Asked],
        share: float,
        tokenizer: WordTokenizer,
        voice: Voice,
        device: torch.device,
    ) -> None:
        """Tokenise them.

        Args:
            share: of the samples, those that are asked something.

        Raises:
            ConfigError: if the share is not in 0..1, or a question or an answer is too long.
            DataError: naming a kind that can be asked about no frame.
        """
        if not 0 <= share <= 1:
            raise ConfigError(f"ask_share is a share of the samples, 0 to 1, got {share}")
        self._share, self._device = share, device
        asked = [_encoded(frames, kind, tokenizer, voice) for kind in kinds]
        told = [_answers(frames, kind, tokenizer, voice) for kind in kinds]
        self._text = torch.from_numpy(np.stack([text for text, _ in asked])).to(device)  # (kinds, sentences, tokens)
        self._is_padding = torch.from_numpy(np.stack([is_padding for _, is_padding in asked])).to(device)
        self._answers = torch.from_numpy(np.stack(told)).to(device)  # (kinds, frames, tokens)

    def asked(
        self, index: Int64[Tensor, " batch"], sentence: Int64[Tensor, " batch"], generator: torch.Generator
    ) -> AskedRows:
        """What these frames are asked this time.

        Args:
            sentence: the instruction of each.
        """
        kind = torch.randint(len(self._text), (len(index),), generator=generator).to(self._device)
        is_drawn = (torch.rand(len(index), generator=generator) < self._share).to(self._device)
        answers = self._answers[kind, index]
        is_asked = is_drawn & (answers[:, 0] >= 0)
        answers = answers.masked_fill(~is_asked[:, None], PADDING_ID)
        return AskedRows(is_asked, self._text[kind, sentence], self._is_padding[kind, sentence], answers)


def _encoded(
    frames: Frames, kind: Asked, tokenizer: WordTokenizer, voice: Voice
) -> tuple[Int64[np.ndarray, "sentences tokens"], Bool[np.ndarray, "sentences tokens"]]:
    asked = [with_question(sentence, QUESTIONS[kind]) for sentence in frames.instructions]
    try:
        return tokenizer.encode_batch(asked, voice.text_tokens)
    except ValueError as error:
        raise ConfigError(f"with a question, {error}: {voice.options[0]}=") from error


def _answers(frames: Frames, kind: Asked, tokenizer: WordTokenizer, voice: Voice) -> Int64[np.ndarray, "frames tokens"]:
    """Of every frame, padded; all padding where there is no answer."""
    encode = functools.cache(tokenizer.encode_answer)
    ids, find = np.full((len(frames), voice.answer_tokens), PADDING_ID, np.int64), _finder(frames, kind)
    for frame, row in enumerate(ids):
        answer = find(frame)
        if answer is None:
            continue
        told = [*encode(coarse(answer) if isinstance(tokenizer, TextTokenizer) else answer), voice.end_id]
        if len(told) > len(row):
            raise ConfigError(f"the answer '{answer}' takes {len(told)} tokens, {voice.options[1]}={len(row)}")
        row[: len(told)] = told
    if (ids < 0).all():
        raise DataError(f"ask=[{kind.value}]: of no frame do the episodes say what the answer is")
    return ids


def _finder(frames: Frames, kind: Asked) -> Callable[[int], str | None]:
    """What the answer about a frame is; None where there is none."""
    match kind:
        case Asked.TASK:
            return lambda frame: _task(frames.episodes[frames.episode_index[frame]].task)
        case Asked.COLOUR:
            return lambda frame: _colour(frames.instructions[frames.instruction_index[frame]])
        case Asked.TARGET:
            return lambda frame: _place(frames.target[frame])
        case Asked.DESTINATION:
            return lambda frame: _place(frames.destination[frame])


def _task(name: str) -> str:
    return name.replace("_", " ")


def _colour(instruction: str) -> str | None:
    found = _COLOUR.search(instruction.lower())
    return None if found is None else found.group(1)


def _place(point: Float32[np.ndarray, " 2"]) -> str | None:
    """In row and column; None outside the picture, and where there is no point."""
    u, v = (float(value) for value in point)
    return location_words(v, u) if 0 <= u <= 1 and 0 <= v <= 1 else None
