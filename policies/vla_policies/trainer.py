"""The training step: one batch in, the weights and their running average moved.

The loss is that of `objective.py`: both of its halves are of one model, and a step of robot and web samples moves the
weights once. With *insulation* the cross-entropy of action tokens trains the decoder and what is behind it, and not
what sees and reads: that learns from words, and from where to look (arXiv:2505.23705).

bf16 matrix products over float32 weights, AdamW, linear warm-up then cosine decay to zero, gradient clipping, and an
exponential moving average (EMA) of the weights, which is what gets deployed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from vla.errors import CheckpointError
from vla.model.kinds import AnyModel
from vla_policies.batches import Batch
from vla_policies.block_wrapping import wrap_blocks
from vla_policies.frozen_casts import keep_frozen_cast
from vla_policies.objective import Objective, Weighing, told
from vla_policies.precision import Precision
from vla_policies.processes import Parallel, Processes
from vla_policies.spreading import gradients_kept, like, spread, whole
from vla_policies.step_cost import StepCost, step_cost
from vla_policies.step_counts import StepCounts
from vla_policies.step_parts import parts_of
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
    answer_weight: float = 1.0
    """Of the loss on answers that robot samples carry, where there are any (`ask`)."""
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


class Trainer:
    """A model, its optimizer and its average."""

    def __init__(
        self,
        model: AnyModel,
        config: OptimizerConfig,
        total_steps: int,
        *,
        accumulate: int = 1,
        precision: Precision = Precision.BF16,
        processes: Processes | None = None,
        sample: tuple[Batch | None, WebBatch | None] = (None, None),
        recomputes: bool = False,
        compiles: bool = False,
    ) -> None:
        """Begin before the first step.

        Args:
            accumulate: parts that a step's samples are seen in, one after the other.
            precision: of matrix products.
            processes: those that each see a share of a step's samples; this one alone if not given.
            sample: of each kind that a step has, at least one, to count what a step costs; it is not, if there is none.
            recomputes: see `wrap_blocks`.
            compiles: see `wrap_blocks`.
        """
        self.model, self.config, self.total_steps = model, config, total_steps
        weighing = Weighing(
            config.grounding_weight, config.label_spread, config.web_weight, config.insulation, config.answer_weight
        )
        self._accumulate, self._processes = accumulate, processes or Processes()
        device = next(model.parameters()).device
        objective = Objective(model, weighing, precision)
        self.cost = StepCost() if sample == (None, None) else step_cost(objective, *sample)
        """What a step asks of its devices."""
        wrap_blocks(model, recomputes=recomputes, compiles=compiles, float8=precision is Precision.FP8)
        is_whole = self._processes.parallel in (Parallel.NONE, Parallel.REPLICATE)
        if device.type == "cpu" and precision is Precision.BF16 and is_whole and not compiles:
            keep_frozen_cast(model)
        self._objective = spread(objective, self._processes, device, has_idle=self.cost.has_idle)
        self.step = 0
        self.loss_limit = math.inf
        """A step whose loss is above it is not taken."""
        # What is frozen is its own average: a copy of a large backbone would take as much memory again.
        self._moving = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
        self.average = {name: tensor.clone() if name in self._moving else tensor for name, tensor in state.items()}
        # Fused: weights and moments are read and written once a step. Of parts of weights torch has no such kernel.
        groups = _decay_groups(model, config.weight_decay)
        self._optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.99), fused=is_whole)

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
        metrics = self._gather_gradients(batch, web)
        norm = self._clip_gradients()
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
        figures = self._objective(batch, web, self._counts(batch, web))[1]
        return _metrics(self._processes.summed(figures), batch, web)

    def state_dict(self) -> dict[str, Tensor]:
        """Weights and optimizer moments, as flat named tensors: for the first process; every one must ask."""
        state = {f"weights/{name}": tensor for name, tensor in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self._optimizer.state.get(parameter, {}).items():
                state[f"optimizer/{key}/{name}"] = value
        return self._gathered(state)

    def average_state(self) -> dict[str, Tensor]:
        """The average, as `state_dict` gives the weights."""
        return self._gathered(self.average)

    def _gathered(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copies that later steps leave alone, each whole."""
        found: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            all_of_it = whole(tensor.detach())
            if self._processes.is_first:
                found[name] = all_of_it.to("cpu", copy=True).contiguous()
        return found

    def load_state_dict(self, state: Mapping[str, Tensor], average: Mapping[str, Tensor], step: int) -> None:
        """Go on exactly where `state_dict` was taken.

        Raises:
            CheckpointError: if the state is of another model.
        """
        weights = {name.removeprefix("weights/"): t for name, t in state.items() if name.startswith("weights/")}
        self._optimizer.state.clear()
        try:
            held = self.model.state_dict()
            self.model.load_state_dict({name: _like(value, held.get(name)) for name, value in weights.items()})
            for name, parameter in self.model.named_parameters():
                # A parameter that never had a gradient has no moments: the other cameras, by web samples alone.
                if f"optimizer/step/{name}" in state:
                    self._optimizer.state[parameter] = {
                        key: _like(state[f"optimizer/{key}/{name}"], None if key == "step" else parameter)
                        for key in ("step", "exp_avg", "exp_avg_sq")
                    }
            for name, tensor in average.items():
                self.average[name].copy_(_like(tensor, self.average[name]))
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"the training state is of another model: {error}") from error
        self.step = step

    def _gather_gradients(self, batch: Batch | None, web: WebBatch | None) -> StepMetrics:
        """The gradient of the whole step, part by part, and all that is logged but the step's own."""
        counts = self._counts(batch, web)
        parts = list(zip(parts_of(batch, self._accumulate), parts_of(web, self._accumulate), strict=True))
        figures: list[Tensor] = []
        for number, part in enumerate(parts, start=1):
            with gradients_kept(self._objective, is_last=number == len(parts)):
                loss, told_of_it = self._objective(*part, counts)
                # Gradients are averaged over processes; their sum is meant.
                (loss * self._processes.among).backward()
            figures.append(told_of_it)
        return _metrics(self._processes.summed(torch.stack(figures).sum(0)), batch, web)

    def _counts(self, batch: Batch | None, web: WebBatch | None) -> StepCounts:
        """Of the whole step, in all processes."""
        return StepCounts.unstacked(self._processes.summed(StepCounts.of(batch, web).stacked()))

    def _clip_gradients(self) -> Tensor:
        """The norm of the whole gradient before it was made no larger than `gradient_clip`."""
        moved = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        norm = whole(get_total_norm([parameter.grad for parameter in moved if parameter.grad is not None]))
        clip_grads_with_norm_(moved, self.config.gradient_clip, norm)
        return norm

    def _astray(self, what: str) -> FloatingPointError:
        self._optimizer.zero_grad(set_to_none=True)
        return FloatingPointError(f"{what} at step {self.step}: lower the learning rate if it happens again")

    @torch.no_grad()
    def _update_average(self) -> None:
        # A young average follows the weights closely, else it would remember the random beginning.
        decay = min(self.config.ema_decay, self.step / (self.step + 10))
        for name, tensor in self.model.state_dict().items():
            if name in self._moving:
                self.average[name].lerp_(tensor, 1 - decay)


def _metrics(figures: Tensor, batch: Batch | None, web: WebBatch | None) -> StepMetrics:
    found = told(figures, batch, web)
    return StepMetrics(found.loss, found.action_loss, found.grounding_loss, found.accuracy, 0.0, 0.0, found.web)


def _decay_groups(model: AnyModel, weight_decay: float) -> list[dict[str, object]]:
    moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in moving if parameter.ndim >= 2]
    others = [parameter for parameter in moving if parameter.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _like(value: Tensor, other: Tensor | None) -> Tensor:
    """Where and in what parts the other one is; a copy, if there is none."""
    return value.clone() if other is None else like(value, other)
