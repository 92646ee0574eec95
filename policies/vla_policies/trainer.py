"""The training step: one batch in, the weights and their running average moved.

    loss = robot + web_weight * web

    robot = cross-entropy(action tokens)     + grounding_weight * cross-entropy(where the named roles look)
    web   = cross-entropy(answers in words)  + grounding_weight * cross-entropy(where the named roles look)

Both are in the joint vocabulary and of one model; a step of robot and web samples moves the weights once. With
*insulation* the cross-entropy of action tokens trains the decoder and what is behind it, and not what sees and reads:
that learns from words, and from where to look (arXiv:2505.23705).

bf16 matrix products over float32 weights, AdamW, linear warm-up then cosine decay to zero, gradient clipping, and an
exponential moving average (EMA) of the weights, which is what gets deployed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from vla.errors import CheckpointError
from vla.model.backbone import Embedded
from vla.model.compact import PATCH
from vla.model.kinds import AnyModel
from vla.model.vla_model import VlaModel, answer_loss, grounding_loss
from vla_policies.action_objective import action_loss
from vla_policies.batches import Batch
from vla_policies.web_batches import WebBatch


@dataclasses.dataclass
class OptimizerConfig:
    """How the weights move."""

    learning_rate: float = 2e-3
    """At the end of the warm-up."""
    warmup_steps: int = 100
    weight_decay: float = 0.01
    """Of weight matrices; biases, norms and embeddings of positions do not decay."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.998
    """Of the running average of the weights, once it has warmed up."""
    grounding_weight: float = 0.5
    """Of the grounding loss; 0 trains without it."""
    label_spread: float = 1.0
    """Standard deviation, in tokens, of the target around the true action token."""
    web_weight: float = 1.0
    """Of the losses on web samples, where there are any."""
    insulation: bool = False
    """Whether the loss on action tokens leaves alone what sees and reads: vision, connectors and text."""


@dataclasses.dataclass(frozen=True)
class StepMetrics:
    """What one step did."""

    loss: float
    action_loss: float
    grounding_loss: float
    accuracy: float
    """Share of action tokens whose most likely id is the true one."""
    gradient_norm: float
    learning_rate: float
    web: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Losses and accuracies of web samples, by their name in the log; empty without any."""


@dataclasses.dataclass(frozen=True)
class _Losses:
    """What one batch of one kind gives."""

    loss: Tensor
    """To be made less."""
    own: Tensor
    """Of action tokens, or of words."""
    grounding: Tensor
    accuracy: float | Tensor
    """Share of tokens that are right; NaN where there are none."""


class Trainer:
    """A model, its optimizer and its average."""

    def __init__(self, model: AnyModel, config: OptimizerConfig, total_steps: int) -> None:
        self.model, self.config, self.total_steps = model, config, total_steps
        self.step = 0
        self.loss_limit = math.inf
        """A step whose loss is above it is not taken."""
        # What is frozen is its own average: a copy of a large backbone would take as much memory again.
        frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
        state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
        self.average = {name: tensor if name in frozen else tensor.clone() for name, tensor in state.items()}
        self._optimizer = torch.optim.AdamW(_decay_groups(model, config.weight_decay), lr=0.0, betas=(0.9, 0.99))

    def learning_rate(self, step: int) -> float:
        """Of one step: linear up to `warmup_steps`, then half a cosine down to zero at `total_steps`."""
        warmup = max(self.config.warmup_steps, 1)
        if step < warmup:
            return self.config.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(self.total_steps - warmup, 1)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    def train_step(self, batch: Batch | None, web: WebBatch | None = None) -> StepMetrics:
        """Move the weights once, by robot samples, web samples or both; the average follows.

        Raises:
            FloatingPointError: if the gradient is not finite, or the loss above `loss_limit`: nothing has moved.
        """
        self.model.train()
        rate = self.learning_rate(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss, metrics = self._measure(batch, web)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        if not torch.isfinite(norm):
            raise self._astray("the gradient is not finite")
        if metrics.loss > self.loss_limit:
            raise self._astray(f"the loss is {metrics.loss:.3g}, of late it was below {self.loss_limit:.3g}")
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._update_average()
        return dataclasses.replace(metrics, gradient_norm=norm.item(), learning_rate=rate)

    @torch.no_grad()
    def validate(self, batch: Batch | None, web: WebBatch | None = None) -> StepMetrics:
        """The losses of a batch under the present weights, which stay as they are."""
        self.model.eval()
        return self._measure(batch, web)[1]

    def state_dict(self) -> dict[str, Tensor]:
        """Weights and optimizer moments, as flat named tensors."""
        state = {f"weights/{name}": tensor for name, tensor in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                state[f"optimizer/{key}/{name}"] = value
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}

    def load_state_dict(self, state: Mapping[str, Tensor], average: Mapping[str, Tensor], step: int) -> None:
        """Go on exactly where `state_dict` was taken.

        Raises:
            CheckpointError: if the state is of another model.
        """
        weights = {name.removeprefix("weights/"): t for name, t in state.items() if name.startswith("weights/")}
        self._optimizer.state.clear()
        try:
            self.model.load_state_dict(weights)
            for name, parameter in self.model.named_parameters():
                # A parameter that never had a gradient has no moments: the other cameras, by web samples alone.
                if f"optimizer/step/{name}" in state:
                    self._optimizer.state[parameter] = {
                        key: _like(state[f"optimizer/{key}/{name}"], parameter, key)
                        for key in ("step", "exp_avg", "exp_avg_sq")
                    }
            for name, tensor in average.items():
                self.average[name].copy_(tensor)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"the training state is of another model: {error}") from error
        self.step = step

    def _astray(self, what: str) -> FloatingPointError:
        self._optimizer.zero_grad(set_to_none=True)
        return FloatingPointError(f"{what} at step {self.step}: lower the learning rate if it happens again")

    def _measure(self, batch: Batch | None, web: WebBatch | None) -> tuple[Tensor, StepMetrics]:
        """The loss, and all that is logged of it but the step's own."""
        parts: list[Tensor] = []
        named: dict[str, float] = {}
        action_loss = where_loss = accuracy = math.nan
        if batch is not None:
            robot = self._robot(batch)
            parts.append(robot.loss)
            action_loss, where_loss, accuracy = robot.own.item(), robot.grounding.item(), float(robot.accuracy)
        if web is not None:
            told, named = self._web(web)
            parts.append(self.config.web_weight * told.loss)
        loss = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return loss, StepMetrics(loss.item(), action_loss, where_loss, accuracy, 0.0, 0.0, named)

    def _robot(self, batch: Batch) -> _Losses:
        with torch.autocast(batch.state.device.type, torch.bfloat16):
            prefix = self.model.backbone.embed(
                batch.images, batch.text, batch.text_is_padding, batch.state, insulated=self.config.insulation
            )
            actions = action_loss(self.model, prefix, batch, self.config.label_spread)
        where_loss = _where_loss(prefix, batch.points, next(iter(batch.images.values())))
        loss = actions.loss + self.config.grounding_weight * where_loss
        return _Losses(loss, actions.loss, where_loss, actions.accuracy)

    def _web(self, web: WebBatch) -> tuple[_Losses, dict[str, float]]:
        """The losses of web samples, and of each source those of its own."""
        model = self.model
        assert isinstance(model, VlaModel), "only the compact backbone answers in words"
        with torch.autocast(web.image.device.type, torch.bfloat16):
            prefix = model.backbone.embed_question(web.image, web.is_blind, web.text, web.text_is_padding)
            logits = model.answer_logits(prefix, web.answers)
        losses, keep = answer_loss(logits, web.answers), web.answers >= 0
        where_loss = _where_loss(prefix, web.points, web.image)
        hit = (logits.detach().argmax(-1) == web.answers) | ~keep
        text_loss = losses.sum() / keep.sum()
        told = _Losses(
            text_loss + self.config.grounding_weight * where_loss, text_loss, where_loss, hit[keep].float().mean()
        )
        named = {"web_loss": text_loss.item(), "web_grounding_loss": where_loss.item()}
        for number, name in enumerate(web.sources):
            rows = web.source == number
            if rows.any():
                named[f"{name}/loss"] = (losses[rows].sum() / keep[rows].sum()).item()
                named[f"{name}/words_right"] = hit[rows][keep[rows]].float().mean().item()
                named[f"{name}/answers_right"] = hit[rows].all(1).float().mean().item()
        return told, named

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average follows the weights closely, else it would remember the random beginning.
        decay = min(self.config.ema_decay, self.step / (self.step + 10))
        for name, tensor in self.model.state_dict().items():
            self.average[name].lerp_(tensor, 1 - decay)


def _where_loss(prefix: Embedded, points: Tensor, image: Tensor) -> Tensor:
    """0 where the backbone does not say where it looks."""
    if prefix.grounding is None:
        return prefix.tokens.new_zeros((), dtype=torch.float32)
    height, width = image.shape[1:3]
    return grounding_loss(prefix.grounding, points, height // PATCH, width // PATCH)


def _decay_groups(model: AnyModel, weight_decay: float) -> list[dict[str, object]]:
    moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in moving if parameter.ndim >= 2]
    others = [parameter for parameter in moving if parameter.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _like(value: Tensor, parameter: Tensor, key: str) -> Tensor:
    return value.clone() if key == "step" else value.to(parameter.device, copy=True)
