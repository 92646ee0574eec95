"""What a training step costs, counted before the first one on one sample of each kind."""

from __future__ import annotations

import dataclasses

import torch
from torch.utils.flop_counter import FlopCounterMode

from vla_policies.batches import Batch
from vla_policies.objective import Objective
from vla_policies.step_counts import StepCounts
from vla_policies.step_parts import parts_of
from vla_policies.web_batches import WebBatch


@dataclasses.dataclass(frozen=True)
class StepCost:
    """Of one model and one shape of samples."""

    robot_operations: float = 0.0
    """Multiplications and additions of a robot sample, forward and backward, nothing computed twice; what is frozen has
    no gradients of weights to compute."""
    web_operations: float = 0.0
    """The same of a web sample."""
    has_idle: bool = True
    """Whether some weights that train get no gradient from such samples."""

    def operations(self, robot_samples: int, web_samples: int) -> float:
        """Of so many samples."""
        return self.robot_operations * robot_samples + self.web_operations * web_samples


def step_cost(objective: Objective, batch: Batch | None, web: WebBatch | None) -> StepCost:
    """Count a step on the first sample of each; weights and gradients are left as they were before any step."""
    robot, reached = _count(objective, batch, None) if batch is not None else (0.0, set[str]())
    other, also_reached = _count(objective, None, web) if web is not None else (0.0, set[str]())
    trained = {name for name, parameter in objective.named_parameters() if parameter.requires_grad}
    return StepCost(robot, other, bool(trained - reached - also_reached))


def _count(objective: Objective, batch: Batch | None, web: WebBatch | None) -> tuple[float, set[str]]:
    """Operations, and the weights that a gradient reached."""
    one, other = _first(batch), _first(web)
    with torch.random.fork_rng(devices=[]), FlopCounterMode(display=False) as counter:
        objective(one, other, StepCounts.of(one, other))[0].backward()
    reached = {name for name, parameter in objective.named_parameters() if parameter.grad is not None}
    objective.zero_grad(set_to_none=True)
    return float(counter.get_total_flops()), reached


def _first[T: (Batch | None, WebBatch | None)](batch: T) -> T:
    return batch if batch is None else parts_of(batch, _length(batch))[0]


def _length(batch: Batch | WebBatch) -> int:
    return len(batch.text)
