"""Which latent each bit is of, class by class: reverse water-filling, one bit at a time.

The next bit always goes to the latent that leaves the most squared error: its spread squared, times the error that its
bits so far leave of a latent of spread 1. So the first bits of any number are the best ones of that number. Encoder and
decoder work it out alike from the spreads.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float32, Int8, Int64


@dataclasses.dataclass(frozen=True, eq=False)
class BitPlan:
    """The bits of a chunk's tokens behind its class, from the first to the last."""

    latent: Int64[np.ndarray, "classes bits"]
    """Which latent each bit is of."""
    order: Int64[np.ndarray, "classes bits"]
    """Which bit of that latent it is; 0 says which half of all."""
    depths: Int8[np.ndarray, "classes tokens latents"]
    """How many bits of each latent are known after the class, after one token more, and so on."""


def planned_bits(
    spreads: Float32[np.ndarray, "classes latents"], errors: tuple[float, ...], num_tokens: int, bits_per_token: int
) -> BitPlan:
    """The plan for latents of these spreads.

    Args:
        errors: mean squared error left of a latent of spread 1 by 0 bits, 1, and so on, to as many as one can take.
        num_tokens: with bits, behind the class.

    Raises:
        ValueError: if the latents cannot take so many bits.
    """
    classes, latents = spreads.shape
    num_bits = num_tokens * bits_per_token
    if num_bits > latents * (len(errors) - 1):
        raise ValueError(f"{latents} latents of {len(errors) - 1} bits cannot take {num_tokens} x {bits_per_token}")
    # A latent that has all its bits comes after any other.
    left_of_one = np.array([*errors[:-1], -1.0])
    power, rows = np.square(spreads.astype(np.float64)), np.arange(classes)
    left, known = power * left_of_one[0], np.zeros((classes, latents), np.int8)
    latent, order = np.empty((classes, num_bits), np.int64), np.empty((classes, num_bits), np.int64)
    depths = np.empty((classes, num_tokens + 1, latents), np.int8)
    for place in range(num_bits):
        if place % bits_per_token == 0:
            depths[:, place // bits_per_token] = known
        latent[:, place] = chosen = left.argmax(axis=1)
        order[:, place] = known[rows, chosen]
        known[rows, chosen] += 1
        left[rows, chosen] = power[rows, chosen] * left_of_one[known[rows, chosen]]
    depths[:, num_tokens] = known
    return BitPlan(latent, order, depths)
