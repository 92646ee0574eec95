"""`lerobot-train` as installed, with a gate before its step: `python -m benchmarks.trainers.lerobot_side ARGUMENTS`.

Its dataset, data loader, preprocessor, accelerate, optimizer, scheduler and log are all as `lerobot-train` makes them.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from lerobot.scripts import lerobot_train

from benchmarks.trainers.gate import Gate
from benchmarks.trainers.operations import operations_of


def main() -> None:
    """Train, as the gate lets pass."""
    gate = Gate()
    passed = gate.wrapped(lerobot_train.update_policy)
    is_first = True

    def step(metrics: Any, policy: Any, batch: Any, *rest: Any, **options: Any) -> Any:
        nonlocal is_first
        if is_first:
            is_first = False
            parameters = list(policy.parameters())
            policy.train()
            gate.tell(
                parameters=sum(p.numel() for p in parameters),
                trained=sum(p.numel() for p in parameters if p.requires_grad),
                operations=operations_of(lambda: _forward(policy, batch)) / len(batch["action"]),
            )
        return passed(metrics, policy, batch, *rest, **options)

    lerobot_train.update_policy = step
    lerobot_train.main()


@torch.no_grad()
def _forward(policy: Any, batch: Any) -> None:
    policy.forward(dict(batch))


if __name__ == "__main__":
    sys.exit(main())
