"""Multiplications and additions of matrix products, convolutions and attention, counted while they are done."""

from __future__ import annotations

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode


def operations_of(run: Callable[[], object]) -> float:
    """How many it takes."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())
