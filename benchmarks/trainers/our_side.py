"""`vla train` as it is, with a gate before the trainer's step: `python -m benchmarks.trainers.our_side ARGUMENTS`."""

from __future__ import annotations

import sys
from typing import Any

from benchmarks.trainers.gate import Gate
from benchmarks.trainers.operations import operations_of
from vla import commands
from vla_policies.trainer import Trainer


def main(arguments: list[str]) -> int:
    """Train, as the gate lets pass."""
    gate = Gate()
    counted = Trainer.train_step
    is_first = True

    def step(trainer: Trainer, *batches: Any) -> Any:
        nonlocal is_first
        if is_first:
            is_first = False
            model = trainer.model
            parameters = list(model.parameters())
            gate.tell(
                parameters=sum(p.numel() for p in parameters),
                trained=sum(p.numel() for p in parameters if p.requires_grad),
                operations=operations_of(lambda: trainer.validate(*batches)) / len(batches[0].state),
            )
        return passed(trainer, *batches)

    passed = gate.wrapped(counted)
    Trainer.train_step = step  # type: ignore[method-assign]
    return commands.main(["train", *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
