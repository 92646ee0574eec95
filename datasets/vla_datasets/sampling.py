"""In which order a training run sees its samples, and how it goes on after a stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Int64

from vla.errors import ConfigError


class ShuffledSampler:
    """An endless sequence of batches of sample indices; each epoch is one permutation of all samples.

    The permutation of epoch e follows from (seed, e) alone, so the state is one number. A batch that reaches
    the end of an epoch goes on into the next: all batches have the same size, and each sample comes once an epoch.
    """

    def __init__(self, num: int, batch_size: int, seed: int):
        """`num` samples, `batch_size` at a time."""
        if num < 1 or batch_size < 1 or seed < 0:
            raise ConfigError(f"a sampler needs num, batch_size ≥ 1 and seed ≥ 0, got {num}, {batch_size}, {seed}")
        self.num = num
        self.batch_size = batch_size
        self.seed = seed
        self._position = 0  # samples given out since the beginning
        self._epoch = -1
        self._permutation = np.empty(0, np.int64)

    @property
    def epoch(self) -> int:
        """Complete passes over the samples so far."""
        return self._position // self.num

    def __iter__(self) -> Iterator[Int64[np.ndarray, " batch"]]:
        return self

    def __next__(self) -> Int64[np.ndarray, " batch"]:
        parts, missing = [], self.batch_size
        while missing:
            epoch, offset = divmod(self._position, self.num)
            part = self._order(epoch)[offset : offset + missing]
            parts.append(part)
            missing -= len(part)
            self._position += len(part)
        return np.concatenate(parts)

    def state_dict(self) -> dict[str, int]:
        """What `load_state_dict` goes on from."""
        return {"num": self.num, "batch_size": self.batch_size, "seed": self.seed, "position": self._position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on with the batch after the last one that was given out when `state` was taken.

        Raises:
            ConfigError: if the state is of other samples, batches or seed.
        """
        own = {"num": self.num, "batch_size": self.batch_size, "seed": self.seed}
        differing = [
            f"{name} {state.get(name)} against {value}" for name, value in own.items() if state.get(name) != value
        ]
        if differing:
            raise ConfigError(f"the sampler to resume is another one: {', '.join(differing)}")
        self._position = int(state["position"])

    def _order(self, epoch: int) -> Int64[np.ndarray, " num"]:
        if epoch != self._epoch:
            self._permutation = np.random.default_rng([self.seed, epoch]).permutation(self.num)
            self._epoch = epoch
        return self._permutation
