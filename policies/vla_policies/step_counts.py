"""How much of a step counts in each of its losses.

    step ─┬─ process 0 ─┬─ part 0   its losses, summed ┐
          │             └─ part 1   ...                ├─ each / what counts in the whole step ─► the step's mean losses
          └─ process 1 ─── ...                         ┘

Masks make samples weigh differently, so the mean of the parts' means is not the mean of the step.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Int64
from torch import Tensor

from vla.model.vla_model import is_in_picture
from vla_policies.batches import Batch
from vla_policies.web_batches import WebBatch


@dataclasses.dataclass(frozen=True)
class StepCounts:
    """What the sums over a step are divided by."""

    tokens: Int64[Tensor, ""]
    """Action tokens."""
    actions: Int64[Tensor, ""]
    """Actions, as numbers."""
    points: Int64[Tensor, ""]
    """Points where the named roles are to look."""
    words: Int64[Tensor, ""]
    """Tokens of answers."""
    web_points: Int64[Tensor, ""]
    """Points where the roles that web samples name are to look."""
    answers: Int64[Tensor, ""]
    """Tokens of answers that robot samples carry."""

    @staticmethod
    def of(batch: Batch | None, web: WebBatch | None = None) -> StepCounts:
        """Of a step that consists of these samples, at least one of the two."""
        given = batch.actions if batch is not None else web.answers if web is not None else torch.zeros(0)
        tokens = actions = points = words = web_points = answers = given.new_zeros((), dtype=torch.int64)
        if batch is not None:
            tokens, points = (~batch.is_padding).sum(), is_in_picture(batch.points).sum()
            actions = actions if batch.chunks is None else (~batch.chunks.is_padding).sum()
            answers = answers if batch.answers is None else (batch.answers >= 0).sum()
        if web is not None:
            words, web_points = (web.answers >= 0).sum(), is_in_picture(web.points).sum()
        return StepCounts(tokens, actions, points, words, web_points, answers)

    def stacked(self) -> Int64[Tensor, " counts"]:
        """All of them in one tensor, to be summed over processes."""
        return torch.stack([getattr(self, field.name) for field in dataclasses.fields(self)])

    @staticmethod
    def unstacked(stacked: Int64[Tensor, " counts"]) -> StepCounts:
        """Those that `stacked` put together."""
        return StepCounts(*stacked.unbind())
