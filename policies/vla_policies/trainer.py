"""The training step: one batch in, the weights and their running average moved.

    loss = cross-entropy(action tokens) + grounding_weight * cross-entropy(where the named roles look)

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
from vla.model.compact import PATCH
from vla.model.vla_model import VlaModel, grounding_loss, token_loss
from vla_policies.batches import Batch


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


class Trainer:
    """A model, its optimizer and its average."""

    def __init__(self, model: VlaModel, config: OptimizerConfig, total_steps: int) -> None:
        self.model, self.config, self.total_steps = model, config, total_steps
        self.step = 0
        self.average = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self._optimizer = torch.optim.AdamW(_decay_groups(model, config.weight_decay), lr=0.0, betas=(0.9, 0.99))

    def learning_rate(self, step: int) -> float:
        """Of one step: linear up to `warmup_steps`, then half a cosine down to zero at `total_steps`."""
        warmup = max(self.config.warmup_steps, 1)
        if step < warmup:
            return self.config.learning_rate * (step + 1) / warmup
        done = (step - warmup) / max(self.total_steps - warmup, 1)
        return self.config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    def train_step(self, batch: Batch) -> StepMetrics:
        """Move the weights once; the average follows."""
        self.model.train()
        rate = self.learning_rate(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss, action_loss, where_loss, accuracy = self._losses(batch)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"the gradient is not finite at step {self.step}: lower the learning rate")
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._update_average()
        return StepMetrics(loss.item(), action_loss.item(), where_loss.item(), accuracy.item(), norm.item(), rate)

    @torch.no_grad()
    def validate(self, batch: Batch) -> StepMetrics:
        """The losses of a batch under the present weights, which stay as they are."""
        self.model.eval()
        loss, action_loss, where_loss, accuracy = self._losses(batch)
        return StepMetrics(loss.item(), action_loss.item(), where_loss.item(), accuracy.item(), 0.0, 0.0)

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
        try:
            self.model.load_state_dict(weights)
            for name, parameter in self.model.named_parameters():
                self._optimizer.state[parameter] = {
                    key: _like(state[f"optimizer/{key}/{name}"], parameter, key)
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }
            for name, tensor in average.items():
                self.average[name].copy_(tensor)
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"the training state is of another model: {error}") from error
        self.step = step

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        vocabulary = self.model.vocabulary
        with torch.autocast(batch.state.device.type, torch.bfloat16):
            prefix = self.model.backbone.embed(batch.images, batch.text, batch.text_is_padding, batch.state)
            logits = self.model(prefix, batch.actions, batch.forced)
        action_loss = token_loss(logits, batch.actions, batch.is_padding, vocabulary, self.config.label_spread)
        height, width = next(iter(batch.images.values())).shape[1:3]
        where_loss = grounding_loss(prefix.grounding, batch.points, height // PATCH, width // PATCH)
        keep = ~batch.is_padding
        hit = logits[..., vocabulary.num_text :].detach().argmax(-1) == batch.actions
        accuracy = hit[keep].float().mean()
        return action_loss + self.config.grounding_weight * where_loss, action_loss, where_loss, accuracy

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average follows the weights closely, else it would remember the random beginning.
        decay = min(self.config.ema_decay, self.step / (self.step + 10))
        for name, tensor in self.model.state_dict().items():
            self.average[name].lerp_(tensor, 1 - decay)


def _decay_groups(model: VlaModel, weight_decay: float) -> list[dict[str, object]]:
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _like(value: Tensor, parameter: Tensor, key: str) -> Tensor:
    return value.clone() if key == "step" else value.to(parameter.device, copy=True)
