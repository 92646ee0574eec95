"""What `check_action_tokenizer` promises of batches and committed actions, broken one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from vla.testing import SMALL_EMBODIMENT, check_action_tokenizer
from vla.tokens.bins import BinTokenizer
from vla.tokens.ranges import ActionRanges

_LOW, _HIGH = SMALL_EMBODIMENT.action_low.astype(np.float64), SMALL_EMBODIMENT.action_high.astype(np.float64)


class PadsWithZeros(BinTokenizer):
    def encode_batch(self, chunks: np.ndarray) -> np.ndarray:
        return np.where(np.arange(self.max_tokens) < 3, super().encode_batch(chunks), 0)

    def encode(self, actions: np.ndarray) -> list[int]:
        return [int(index) for index in super().encode_batch(actions[None])[0]]


class DecodesABatchOtherwise(BinTokenizer):
    def decode_batch(self, ids: np.ndarray) -> np.ndarray:
        chunks = super().decode_batch(ids)
        return chunks if len(chunks) == 1 else chunks[::-1]


class KnowsTooMuch(BinTokenizer):
    def num_committed(self, steps: int) -> int:
        return min(steps + 1, self.horizon) * self.action_dim if steps else 0


class KnowsMoreThanThereIs(BinTokenizer):
    def num_committed(self, steps: int) -> int:
        return 100 * steps


class ForgetsTheCommitted(BinTokenizer):
    def decode_committed(self, ids: np.ndarray, committed: Sequence[np.ndarray]) -> np.ndarray:
        return self.decode_batch(ids)


class RunsAway(BinTokenizer):
    def decode_committed(self, ids: np.ndarray, committed: Sequence[np.ndarray]) -> np.ndarray:
        chunks = super().decode_committed(ids, committed)
        for chunk, actions in zip(chunks, committed, strict=True):
            chunk[len(actions) :] += len(actions)
        return chunks


@pytest.mark.parametrize(
    ("tokenizer", "told"),
    [
        (PadsWithZeros, "a chunk in a batch gets its own ids"),
        (DecodesABatchOtherwise, "ids in a batch decode as they do alone"),
        (KnowsTooMuch, "10 ids are said to be known when 1 actions are; they depend on later actions"),
        (KnowsMoreThanThereIs, "100 ids of 20 cannot be known"),
        (ForgetsTheCommitted, "a chunk begins with exactly the 1 committed actions"),
        (RunsAway, "a chunk that goes on from 1 committed actions stays within the limits"),
    ],
)
def test_a_tokenizer_that_breaks_a_promise_on_batches_is_caught(tokenizer: type[BinTokenizer], told: str) -> None:
    broken = tokenizer(ActionRanges.of(_LOW, _HIGH), 9, 4)
    with pytest.raises(AssertionError, match=told):
        check_action_tokenizer(
            broken, low=_LOW, high=_HIGH, bound=(_HIGH - _LOW) / 16, from_json=BinTokenizer.from_json, trials=2
        )
