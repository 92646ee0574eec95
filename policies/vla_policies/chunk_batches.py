"""Chunks as numbers, beside those as tokens: what continuous heads learn from.

Units: each action field less its mean, by its deviation, both over the chunks of the training data. An embodiment's
limits are no measure for a loss: a field that moves through a hundredth of its range would then count a hundredth, and
the noise of a flow, which has deviation 1, would bury it. Deviations and not quantiles, because a field that rests in
99 of 100 steps has both quantiles in one place. Limits cut what comes out (`continuous_policy.py`).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vla.embodiment import Embodiment
from vla.model.continuous import ChunkTargets, draw_times
from vla.normalization import Normalizer, Scheme, Statistics
from vla_datasets.windows import Frames

VALIDATION_SEED = 0
"""Of noise and flow times where nothing else is to be random."""


def action_normalizer(statistics: Statistics, embodiment: Embodiment) -> Normalizer:
    """Zero mean and unit deviation over the actions in the training data's chunks.

    Raises:
        StatisticsError: if the statistics are not those of this embodiment's actions.
    """
    return Normalizer.of(statistics, embodiment.action, Scheme.DEVIATION)


class ChunkBatches:
    """The chunks of all frames on the training device, normalised once."""

    def __init__(self, frames: Frames, normalizer: Normalizer, device: torch.device) -> None:
        """Normalise the chunks."""
        self._device = device
        self._actions = torch.from_numpy(normalizer.normalise(frames.chunks)).to(device)
        self._executed = torch.from_numpy(normalizer.normalise(frames.executed())).to(device)
        self._is_padding = torch.from_numpy(np.ascontiguousarray(frames.chunk_padding)).to(device)

    def targets(
        self,
        whole: Int64[Tensor, " whole"],
        steps: Int64[Tensor, " batch"] | None,
        generator: torch.Generator | None,
        share: slice = slice(None),
    ) -> ChunkTargets:
        """The chunks of these frames.

        Args:
            share: which of them to give; what is random is drawn for all.
            steps: of those in the share, so many actions of each row are committed to, and executed; the rest is what
                to do after them.
            generator: of noise and flow times; the same ones every time if there is none.
        """
        index = whole[share]
        steps = torch.zeros_like(index) if steps is None else steps
        later = index + steps
        since = torch.arange(self._actions.shape[1], device=self._device) - steps[:, None]  # (batch, horizon)
        is_committed, source = since < 0, since.clamp(min=0)
        imitated = self._actions[later].gather(1, source[..., None].expand(-1, -1, self._actions.shape[2]))
        actions = torch.where(is_committed[..., None], self._executed[index], imitated)
        generator = generator or torch.Generator().manual_seed(VALIDATION_SEED)
        noise = torch.randn((len(whole), *actions.shape[1:]), generator=generator)
        return ChunkTargets(
            actions=actions,
            is_committed=is_committed,
            is_padding=is_committed | self._is_padding[later].gather(1, source),
            noise=noise[share].to(self._device),
            time=draw_times(len(whole), generator)[share].to(self._device),
        )
