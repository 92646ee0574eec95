"""Web samples beside robot samples in every step of a run.

    batch_size robot samples ─┐
                              ├─► one step
    web_share of all ─────────┘    from shards and files of language, by weight, in a stream that resumes exactly

The robot samples of a step are those of the run without web samples: what differs is what comes on top.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rich.console import Console

from vla.embodiment import CameraSpec
from vla.errors import ConfigError
from vla.model.compact import CompactConfig
from vla.tokens.text import TextTokenizer
from vla_datasets.web.samples import PLACES
from vla_policies.batches import ALL
from vla_policies.place_words import PLACE_WORDS
from vla_policies.processes import Processes
from vla_policies.web_batches import WebBatch, WebBatches
from vla_policies.web_rows import WebRows, load_web, open_web

ANSWER_TOKENS = 16
"""Of the longest answer, where nothing else is said."""
WEB_SEED = 7919
"""Apart from the seeds that robot samples are drawn by."""
SILENT = (
    "the checkpoint to begin with does not answer in words (answer_tokens=0): train it with web= from the beginning"
)


class Cotraining:
    """The web samples of a run, and where their stream stands."""

    def __init__(self, batches: WebBatches, batch_size: int, seed: int) -> None:
        """Begin at the stream's first sample.

        Args:
            batch_size: web samples a step.
        """
        self.batches, self.batch_size, self._seed = batches, batch_size, seed
        self._position = 0

    @property
    def sources(self) -> tuple[str, ...]:
        return self.batches.sources

    def next_batch(self, share: slice = ALL) -> WebBatch:
        """The samples of one step, or this share of them."""
        generator = torch.Generator().manual_seed(WEB_SEED * (self._seed + 1) + self._position)
        rows = self.batches.rows(self._position, self.batch_size)
        self._position += self.batch_size
        return self.batches.batch(rows, generator, share)

    def validation_batch(self, processes: Processes) -> WebBatch | None:
        """What training never sees, or this process's share of it; None if nothing is held out."""
        rows = self.batches.validation
        return self.batches.batch(rows, None, processes.share_if_enough(len(rows))) if len(rows) else None

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` goes on from, as JSON values."""
        return {"position": self._position, "mixture": self.batches.mixture.identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the sample after the last one that was handed out.

        Raises:
            ConfigError: naming the difference, if the state is of other samples.
        """
        self.batches.mixture.require_same(state["mixture"])
        self._position = int(state["position"])


def num_web(batch_size: int, share: float) -> int:
    """Web samples that make up a share of a step beside `batch_size` robot samples; all of the step at 1.

    Raises:
        ConfigError: if the share is not in 0..1, or so small that it gives no sample.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"web_share is a share of a step's samples, 0 to 1, got {share}")
    count = batch_size if share == 1 else round(batch_size * share / (1 - share))
    if share and not count:
        raise ConfigError(f"web_share={share} of a step with batch_size={batch_size} is less than one sample")
    return count


def read_web(paths: Sequence[str], camera: CameraSpec) -> WebRows:
    """The samples at these paths, their pictures of a camera's size; what is left out is said.

    Raises:
        DataError: naming what cannot be read.
    """
    rows = load_web([open_web(path) for path in paths], camera)
    tell(rows.left_out, "have more than one picture")
    return rows


def fit_words(sentences: Sequence[str], web: WebRows | None, num_merged: int) -> TextTokenizer:
    """Merges that compress sentences, questions and answers best, and a token for each place word."""
    texts = sentences if web is None else (*sentences, *web.questions, *web.answers)
    said = sorted({PLACES.sub(" ", text) for text in texts})
    return TextTokenizer.train(said, num_merged, PLACE_WORDS)


def with_voice(backbone: CompactConfig, start: CompactConfig | None, is_asked: bool) -> CompactConfig:
    """The backbone of a run, with room for answers where it is to give any: as many tokens as it began with.

    Raises:
        ConfigError: if it begins with a checkpoint that has no voice.
    """
    if start is not None:
        if is_asked and not start.answer_tokens:
            raise ConfigError(SILENT)
        return dataclasses.replace(backbone, answer_tokens=start.answer_tokens)
    if is_asked and not backbone.answer_tokens:
        return dataclasses.replace(backbone, answer_tokens=ANSWER_TOKENS)
    return backbone


def tell(counts: Counter[str], why: str) -> None:
    """Say on standard error which web samples are left out."""
    if counts:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
        Console(stderr=True, soft_wrap=True).print(f"{counts.total()} web samples {why} and are left out: {kinds}")
