"""From web samples in memory to what one training step takes of them.

Which samples a step gets follows from the sources' names, lengths, weights and the seed, by position in a mixture's
stream (`vla_datasets.mixing.mixture`), so a run that stopped goes on with the next sample.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from vla.errors import ConfigError, DataError
from vla.files import sha256
from vla.interfaces import PADDING_ID
from vla.tokens.text import TextTokenizer
from vla.tokens.words import WordTokenizer
from vla_datasets.mixing.mixture import Mixture, SourceShare
from vla_policies.batches import ALL, shifted
from vla_policies.place_words import coarse
from vla_policies.voice import Voice
from vla_policies.web_rows import NO_PICTURE, WebRows

MAX_VALIDATION = 512
"""Rows that are held out and looked at now and then."""


@dataclasses.dataclass(frozen=True)
class WebBatch:
    """Questions, and what is to be answered."""

    image: UInt8[Tensor, "batch height width 3"]
    """As the first camera would take it."""
    is_blind: Bool[Tensor, " batch"]
    """Where there is no picture."""
    text: Int64[Tensor, "batch text_tokens"]
    text_is_padding: Bool[Tensor, "batch text_tokens"]
    answers: Int64[Tensor, "batch tokens"]
    """Ids, the end included; -1 is padding."""
    points: Float[Tensor, "batch roles 2"]
    """Where the named roles are to look; NaN where nothing is said."""
    source: Int64[Tensor, " batch"]
    """Into `sources`."""
    sources: tuple[str, ...]
    """Names."""


class WebBatches:
    """Web samples on the training device, tokenised once."""

    def __init__(
        self,
        rows: WebRows,
        tokenizer: WordTokenizer,
        voice: Voice,
        *,
        device: torch.device,
        seed: int,
        weights: Sequence[float] = (),
        validation_share: float = 0.0,
        shift_pixels: int = 0,
    ) -> None:
        """Tokenise the rows; those that cannot be asked or said are left out, and counted.

        Args:
            weights: of the sources, only their ratios count; each sample as often as any other if not given.
            validation_share: of the scenes, kept out of training.
            shift_pixels: farthest shift of a picture whose answer names no place.

        Raises:
            ConfigError: if there are not as many weights as sources.
            DataError: if all of a source is too long or held out.
        """
        if weights and len(weights) != len(rows.sources):
            raise ConfigError(f"there are {len(rows.sources)} sources of web samples and {len(weights)} weights")
        # A pretrained model has place words of its own, or spells them.
        told = map(coarse, rows.answers) if isinstance(tokenizer, TextTokenizer) else rows.answers
        questions, answers = _ids(tokenizer.encode_question, rows.questions), _ids(tokenizer.encode_answer, told)
        fits = np.array([voice.fits(asked, told) for asked, told in zip(questions, answers, strict=True)])
        self.too_long = Counter(kind for kind, fit in zip(rows.kinds, fits, strict=True) if not fit)
        """By kind: samples whose question or answer has too many tokens, or ids that are given up for actions."""
        self.fitting = np.flatnonzero(fits)
        """All other rows."""
        self.sources = rows.sources

        def on_device(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        text = _padded(questions, voice.text_tokens, fits)
        ended = [[*ids, voice.end_id] for ids in answers]
        self._text, self._text_is_padding = on_device(text.clip(min=0)), on_device(text == PADDING_ID)
        self._answers = on_device(_padded(ended, voice.answer_tokens, fits))
        self._pictures = on_device(rows.pictures)
        self._picture = on_device(rows.picture)
        self._points, self._source = on_device(rows.points), on_device(rows.source)
        self._device, self._shift = device, shift_pixels

        held_out = np.array([_is_held_out(scene, validation_share, seed) for scene in rows.scenes])
        # Sources in turn, so that the first rows are of all of them.
        self.validation = _in_turn(rows.source, fits & held_out)[:MAX_VALIDATION]
        """Rows that training never sees."""
        self._rows = [np.flatnonzero(fits & ~held_out & (rows.source == s)) for s in range(len(rows.sources))]
        for name, mine in zip(rows.sources, self._rows, strict=True):
            if not len(mine):
                of_questions, of_answers = voice.options
                raise DataError(
                    f"no sample of '{name}' is left: questions may have {voice.text_tokens} tokens ({of_questions}=), "
                    f"answers {voice.answer_tokens} ({of_answers}=)"
                )
        self._mixture = Mixture(
            [
                SourceShare(name, len(mine), float(weight), _content(rows, mine))
                for name, mine, weight in zip(
                    rows.sources, self._rows, weights or [len(mine) for mine in self._rows], strict=True
                )
            ],
            seed,
        )

    @property
    def mixture(self) -> Mixture:
        """The stream that steps take their samples from."""
        return self._mixture

    def rows(self, position: int, count: int) -> Int64[np.ndarray, " batch"]:
        """The rows at `count` positions of the stream."""
        draws = (self._mixture.draw(position + place) for place in range(count))
        return np.array([self._rows[draw.source][draw.item] for draw in draws], np.int64)

    def batch(
        self, indices: Int64[np.ndarray, " whole"], generator: torch.Generator | None, share: slice = ALL
    ) -> WebBatch:
        """These rows, each picture shifted by a few pixels if there is a generator.

        Args:
            share: which of them to give; what is random is drawn for all, so that shares put together are the whole.
        """
        index = torch.from_numpy(indices).to(self._device)[share]
        picture, points = self._picture[index], self._points[index]
        is_blind = picture == NO_PICTURE
        answers = self._answers[index]
        longest = int((answers != PADDING_ID).sum(1).max())
        return WebBatch(
            image=self._images(picture, points, self._shifts(len(indices), generator, share)),
            is_blind=is_blind,
            text=self._text[index],
            text_is_padding=self._text_is_padding[index],
            answers=answers[:, :longest],
            points=points,
            source=self._source[index],
            sources=self.sources,
        )

    def _images(
        self,
        picture: Int64[Tensor, " batch"],
        points: Float[Tensor, "batch roles 2"],
        shift: Int64[Tensor, "batch 2"] | None,
    ) -> UInt8[Tensor, "batch height width 3"]:
        if not len(self._pictures):
            height, width = self._pictures.shape[1:3]
            return self._pictures.new_zeros((len(picture), height, width, 3))
        index = picture.clamp(min=0)
        if shift is None:
            return self._pictures[index]
        # A place that is told stays where it is.
        return shifted(self._pictures, index, shift * points.isnan().all(dim=(1, 2))[:, None])

    def _shifts(self, batch: int, generator: torch.Generator | None, share: slice) -> Int64[Tensor, "share 2"] | None:
        if generator is None or self._shift == 0:
            return None
        return torch.randint(-self._shift, self._shift + 1, (batch, 2), generator=generator)[share].to(self._device)


def _content(rows: WebRows, mine: Int64[np.ndarray, " mine"]) -> str:
    """Stands for what is asked and answered."""
    return sha256("\n".join(f"{rows.questions[row]}\t{rows.answers[row]}" for row in mine).encode())


def _ids(encode: Callable[[str], list[int]], texts: Iterable[str]) -> list[list[int]]:
    """Ids by text; equal texts are tokenised once."""
    encode = functools.cache(encode)
    return [encode(text) for text in texts]


def _padded(
    ids: Sequence[Sequence[int]], length: int, fits: Bool[np.ndarray, " rows"]
) -> Int64[np.ndarray, "rows length"]:
    padded = np.full((len(ids), length), PADDING_ID, np.int64)
    for row, own, fit in zip(padded, ids, fits, strict=True):
        if fit:
            row[: len(own)] = own
    return padded


def _is_held_out(scene: str, share: float, seed: int) -> bool:
    return int(sha256(f"{seed}:{scene}".encode())[:8], 16) < share * 2**32


def _in_turn(source: Int64[np.ndarray, " rows"], chosen: Bool[np.ndarray, " rows"]) -> Int64[np.ndarray, " chosen"]:
    """The chosen rows, the first of each source, then the second of each, ..."""
    rows = np.flatnonzero(chosen)
    place = np.zeros(len(rows), np.int64)
    for number in np.unique(source[rows]):
        mine = source[rows] == number
        place[mine] = np.arange(mine.sum())
    return rows[np.lexsort((source[rows], place))]
