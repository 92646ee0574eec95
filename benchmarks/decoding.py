"""Decoding: how long a robot waits for a chunk, by head, and what answering several at once is worth.

The models are untrained: time depends on their sizes, not on what they learned. One thread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.comparison import Comparison
from vla.model.compact import CompactConfig
from vla.model.vla_model import Head
from vla.normalization import Statistics
from vla.testing import make_episode, make_observation
from vla.tokens.bins import BinTokenizer
from vla.tokens.text import TextTokenizer
from vla_policies.checkpoint import Checkpoint, make_model
from vla_policies.token_policy import TokenPolicy
from vla_sim.embodiments import TABLETOP_PANDA

HORIZON, NUM_BINS = 4, 65
CHUNKS = 32


def comparisons() -> list[Comparison]:
    torch.set_num_threads(1)
    settings: dict[str, object] = {"horizon": HORIZON, "num_bins": NUM_BINS, "threads": 1}
    return [
        Comparison(
            claim="action tokens at once (slots) against one after the other (autoregressive, cached), batch 1",
            baseline=_answering(Head.AUTOREGRESSIVE, batch_size=1),
            contender=_answering(Head.SLOTS, batch_size=1),
            work=CHUNKS,
            unit="chunks",
            settings=settings,
            repeats=5,
        ),
        Comparison(
            claim="slots, batches of 32 against one at a time",
            baseline=_answering(Head.SLOTS, batch_size=1),
            contender=_answering(Head.SLOTS, batch_size=32),
            work=CHUNKS,
            unit="chunks",
            settings=settings,
        ),
    ]


def _answering(head: Head, batch_size: int) -> Callable[[], object]:
    policy = TokenPolicy(_untrained(head), device="cpu", batch_size=batch_size)
    observations = [make_observation(TABLETOP_PANDA, seed=seed) for seed in range(CHUNKS)]
    return lambda: policy.predict(observations)


def _untrained(head: Head) -> Checkpoint:
    episode = make_episode(TABLETOP_PANDA, steps=40, seed=0, lookahead=HORIZON)
    names = [field.name for field in TABLETOP_PANDA.proprioception]
    action_tokenizer = BinTokenizer.fit(episode.labels["lookahead"], TABLETOP_PANDA, NUM_BINS)
    text_tokenizer, backbone = TextTokenizer.shipped(), CompactConfig()
    torch.manual_seed(0)
    return Checkpoint(
        embodiment=TABLETOP_PANDA,
        statistics=Statistics.of(episode.proprioception.astype(np.float64), names).without_values(),
        action_tokenizer=action_tokenizer,
        text_tokenizer=text_tokenizer,
        backbone=backbone,
        head=head,
        config={},
        step=0,
        weights=make_model(TABLETOP_PANDA, action_tokenizer, text_tokenizer, backbone, head).state_dict(),
    )
