"""What a training step makes less, as one module: a model and samples in, a loss and its figures out.

    loss = robot + web_weight * web

    robot = what the head says of actions    + grounding_weight * cross-entropy(where the named roles look)
                                             + answer_weight * cross-entropy(answers that samples carry)
    web   = cross-entropy(answers in words)  + grounding_weight * cross-entropy(where the named roles look)

The samples may be a part of a step: every sum is divided by what counts in the whole step (`step_counts.py`), so
losses, gradients and figures of the parts add up to the step's.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from vla.model.backbone import Embedded
from vla.model.compact import CompactBackbone
from vla.model.kinds import AnyModel
from vla.model.vla_model import answer_loss, grounding_loss
from vla_policies.action_objective import action_loss
from vla_policies.batches import Batch
from vla_policies.precision import Precision, autocast
from vla_policies.step_counts import StepCounts
from vla_policies.web_batches import WebBatch


@dataclasses.dataclass(frozen=True)
class Weighing:
    """How losses are put together."""

    grounding_weight: float
    label_spread: float
    web_weight: float
    insulation: bool
    answer_weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Told:
    """The figures of a step, once those of its parts are summed."""

    loss: float
    action_loss: float
    grounding_loss: float
    accuracy: float
    web: dict[str, float]
    """Of web samples, and of answers that robot samples carry."""


class Objective(nn.Module):
    """The losses of one model."""

    def __init__(self, model: AnyModel, weighing: Weighing, precision: Precision) -> None:
        super().__init__()
        self.model = model
        self._weighing, self._precision = weighing, precision

    def forward(
        self, batch: Batch | None, web: WebBatch | None, counts: StepCounts
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " figures"]]:
        """What these samples add to the step's loss, and to what is told of it (`told` makes figures of the sum)."""
        robot, action, where, right, *answer = self._robot(batch, counts) if batch is not None else _NOTHING
        if web is None:
            return robot, torch.stack([robot.detach(), action, where, right, *answer])
        text, web_where, by_source = self._web(web, counts)
        loss = self._weighing.web_weight * (text + self._weighing.grounding_weight * web_where)
        loss = loss if batch is None else robot + loss
        figures = [loss, *(value.to(loss.device) for value in (action, where, right)), text, web_where]
        return loss, torch.cat([torch.stack(figures).detach(), by_source.flatten(), *(a[None] for a in answer)])

    def _robot(self, batch: Batch, counts: StepCounts) -> tuple[Tensor, ...]:
        weighing = self._weighing
        with autocast(self._precision, batch.state.device):
            prefix = self.model.backbone.embed(
                batch.images,
                batch.text,
                batch.text_is_padding,
                batch.state,
                insulated=weighing.insulation,
                past=batch.past,
            )
            actions = action_loss(self.model, prefix, batch, weighing.label_spread, counts)
        where = self._where_loss(prefix, batch.points, next(iter(batch.images.values())), counts.points)
        loss = actions.loss + weighing.grounding_weight * where
        right = torch.as_tensor(actions.accuracy, dtype=torch.float32, device=loss.device)
        if actions.answers is None or batch.answers is None:
            return loss, actions.loss.detach(), where.detach(), right
        answer, words_right = _answered(actions.answers, batch.answers, counts)
        loss = loss + weighing.answer_weight * answer
        return loss, actions.loss.detach(), where.detach(), right, answer.detach(), words_right

    def _web(self, web: WebBatch, counts: StepCounts) -> tuple[Tensor, Tensor, Float[Tensor, "sources kinds"]]:
        """The losses of web samples, and of each source the sums that its figures are made of."""
        model = self.model
        with autocast(self._precision, web.image.device):
            prefix: Any = model.backbone.embed_question(web.image, web.is_blind, web.text, web.text_is_padding)
            logits = model.answer_logits(prefix, web.answers)
        losses, keep = answer_loss(logits, web.answers), web.answers >= 0
        where = self._where_loss(prefix, web.points, web.image, counts.web_points)
        hit = (logits.detach().argmax(-1) == web.answers) | ~keep
        kinds = [losses.detach().sum(1), keep.sum(1), (hit & keep).sum(1), hit.all(1), torch.ones_like(hit[:, 0])]
        by_row = torch.stack([kind.float() for kind in kinds], dim=1)  # (batch, kinds)
        by_source = by_row.new_zeros((len(web.sources), len(kinds))).index_add(0, web.source, by_row)
        return losses.sum() / counts.words, where, by_source

    def _where_loss(self, prefix: Embedded, points: Tensor, image: Tensor, count: Tensor) -> Tensor:
        """0 where the backbone does not say where it looks."""
        backbone = self.model.backbone
        if prefix.grounding is None or not isinstance(backbone, CompactBackbone):
            return prefix.tokens.new_zeros((), dtype=torch.float32)
        height, width, side = *image.shape[1:3], backbone.config.cell_pixels
        return grounding_loss(prefix.grounding, points, height // side, width // side, count)


def told(figures: Float[Tensor, " figures"], batch: Batch | None, web: WebBatch | None) -> Told:
    """What the sum of a step's figures says; NaN of what there is none of.

    Args:
        batch: any part of the step.
        web: any part of the step.
    """
    values = [float(value) for value in figures.tolist()]
    named: dict[str, float] = {}
    if batch is not None and batch.answers is not None:
        *values, named["answers/loss"], named["answers/words_right"] = values
    loss, *robot = values[:4]
    action, where, right = robot if batch is not None else [math.nan] * 3
    named |= {} if web is None else _web_told(values[4:], web.sources)
    return Told(loss, action, where, right, named)


def _web_told(values: list[float], sources: tuple[str, ...]) -> dict[str, float]:
    named = {"web_loss": values[0], "web_grounding_loss": values[1]}
    for number, name in enumerate(sources):
        loss, words, words_right, right, answers = values[2 + 5 * number : 7 + 5 * number]
        if answers:
            named[f"{name}/loss"] = loss / words
            named[f"{name}/words_right"] = words_right / words
            named[f"{name}/answers_right"] = right / answers
    return named


def _answered(logits: Tensor, answers: Int64[Tensor, "batch tokens"], counts: StepCounts) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the answers that robot samples carry, and the share of their tokens that are right."""
    count = counts.answers.clamp(min=1)
    hit = (logits.detach().argmax(-1) == answers) & (answers >= 0)
    return answer_loss(logits, answers).sum() / count, hit.float().sum() / count


_NOTHING = (torch.zeros(()),) * 4
