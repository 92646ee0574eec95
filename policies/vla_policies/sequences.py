"""Samples of a mixture as token sequences: `[images][question or instruction][state] → [answer | action tokens]`.

    ids:   0 .. text vocabulary - 1     words, and the end of an answer
           text vocabulary ..           action tokens

It runs in the loader's workers, and travels there: what it holds is small and plain.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Int64

from vla.errors import DataError
from vla.interfaces import ActionTokenizer
from vla.model.vla_model import Vocabulary
from vla.tokens.text import PAD_ID, TextTokenizer
from vla_datasets.mixing.dataset import MixedSample
from vla_datasets.store_frames import RobotSample
from vla_datasets.web.samples import WebSample
from vla_policies.packing import TokenSequence, token_sequence


@dataclasses.dataclass(frozen=True, eq=False)
class SampleSequences:
    """Makes the token sequence of a sample of any kind; a mixture's `prepare`."""

    text: TextTokenizer
    actions: ActionTokenizer
    vocabulary: Vocabulary
    tokens_per_image: int
    """Places that a picture's embedding takes."""
    state_tokens: int = 1
    """Places that the embedding of proprioception takes."""
    end_id: int = PAD_ID
    """What ends an answer; padding is masked, so its id is free."""

    def __call__(self, sample: MixedSample[RobotSample | WebSample]) -> TokenSequence:
        """The sequence; pictures and proprioception travel along in its `sample`."""
        value = sample.value
        if isinstance(value, RobotSample):
            return self._robot(value, sample.draw.source, str(sample.draw))
        if isinstance(value, WebSample):
            return self._web(value, sample.draw.source, str(sample.draw))
        raise DataError(f"a sample is of a robot or of the web, got {type(value).__name__}")

    def _robot(self, sample: RobotSample, source: int, name: str) -> TokenSequence:
        ids = np.asarray(self.actions.encode(sample.chunk), np.int64)
        pictures = self._pictures(len(sample.images))
        prefix: list[np.ndarray | int] = [*pictures, self._words(sample.instruction), self.state_tokens]
        return token_sequence(
            prefix,
            ids + self.vocabulary.num_text,
            source,
            counts=self._counts(sample, len(ids)),
            name=name,
            sample=sample,
        )

    def _web(self, sample: WebSample, source: int, name: str) -> TokenSequence:
        answer = np.append(self._words(sample.answer), self.end_id)
        prefix: list[np.ndarray | int] = [*self._pictures(len(sample.images)), self._words(sample.question)]
        return token_sequence(prefix, answer, source, name=name, sample=sample)

    def _pictures(self, num: int) -> list[int]:
        return [self.tokens_per_image] * num

    def _words(self, text: str) -> Int64[np.ndarray, " ids"]:
        return np.asarray(self.text.encode(text), np.int64)

    def _counts(self, sample: RobotSample, num: int) -> Bool[np.ndarray, " tokens"]:
        """Which action tokens count: not those of actions behind the episode's end, where ids can be told apart."""
        counts = np.ones(num, np.bool_)
        for step in np.flatnonzero(sample.chunk_padding).tolist():
            counts[self.actions.num_committed(step) : self.actions.num_committed(step + 1)] = False
        return counts
