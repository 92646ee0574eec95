"""The loss on actions, of every head: cross-entropy of tokens, absolute difference, or velocity of a flow.

slots, autoregressive    cross-entropy(tokens)
regression               | chunk - said |
flow                     | velocity - said |²
insulated                cross-entropy(tokens) + | velocity - said |²   whose gradients end before the backbone
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from torch import Tensor

from vla.model.beside import Beside, answer_beside
from vla.model.continuous import ChunkTargets, FlowHead, Reader, RegressionHead, features_of
from vla.model.kinds import AnyModel
from vla.model.vla_model import Head, token_loss
from vla_policies.batches import Batch
from vla_policies.step_counts import StepCounts


@dataclasses.dataclass(frozen=True)
class ActionLoss:
    """What a batch's actions cost."""

    loss: Tensor
    accuracy: float | Tensor = math.nan
    """Share of action tokens whose most likely id is the true one; NaN without tokens."""
    answers: Tensor | None = None
    """Logits of the answers that samples carry, read in the same pass; None if none do."""


def action_loss(
    model: AnyModel, prefix: Any, batch: Batch, spread: float, counts: StepCounts | None = None
) -> ActionLoss:
    """What the head says of a batch's actions, and how far off it is.

    Args:
        prefix: of the batch, embedded.
        spread: see `token_loss`.
        counts: of the step that this is a part of; this is all of it if not given.

    Raises:
        ValueError: if the head says numbers, and the batch has none.
    """
    counts = counts or StepCounts.of(batch)
    if batch.answers is None:
        return _action_loss(model, model.backbone, prefix, batch, spread, counts)
    reader = Beside(model.backbone, model.answer_teacher(batch.answers.clamp(min=0)))
    found = _action_loss(model, reader, prefix, batch, spread, counts)
    return dataclasses.replace(found, answers=answer_beside(model, reader))


def _action_loss(
    model: AnyModel, reader: Reader, prefix: Any, batch: Batch, spread: float, counts: StepCounts
) -> ActionLoss:
    continuous = model.continuous
    if isinstance(continuous, RegressionHead):
        return ActionLoss(continuous.loss(reader, prefix, _numbers(batch), counts.actions))
    if model.head is Head.FLOW and isinstance(continuous, FlowHead):
        features = features_of(reader, prefix)
        return ActionLoss(continuous.loss(features, prefix.is_padding, _numbers(batch), counts.actions))
    logits, features = model.read(prefix, batch.actions, batch.forced, reader)
    loss = token_loss(logits, batch.actions, batch.is_padding, model.vocabulary, spread, counts.tokens)
    if isinstance(continuous, FlowHead):
        loss = loss + continuous.loss(features.detach(), prefix.is_padding, _numbers(batch), counts.actions)
    hit = logits[..., model.vocabulary.num_text :].detach().argmax(-1) == batch.actions
    return ActionLoss(loss, hit[~batch.is_padding].float().sum() / counts.tokens)


def _numbers(batch: Batch) -> ChunkTargets:
    if batch.chunks is None:
        raise ValueError("the head says actions as numbers, and the batch has them as tokens alone")
    return batch.chunks
