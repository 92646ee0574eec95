"""A resampler over time: a fixed number of tokens of all frames up to a control step, and of none after it.

    frames    f0   f1   f2   f3             each many tokens
    tokens    |    |    |    |
      of 0    x    .    .    .
      of 1    x    x    .    .
      of 2    x    x    x    .              x read, . not there to be read
      of 3    x    x    x    x              what a model reads at control step 3

Learned queries read the tokens of every frame in the window, each told how old it is, so that the tokens of a control
step are the same wherever in a window it stands. Frames of before the episode are padding, which nobody reads.

Sources: the queries are Flamingo's (arXiv:2204.14198); that those of a moment read what came before it alone is
FAVOR's causal Q-Former (arXiv:2310.05863), there over sound and pictures, here over the frames of a camera.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vla.errors import ConfigError
from vla.model.perceiver import PerceiverResampler

AGE_SCALE = 0.2
"""Deviation of what tells a frame's age, to 1 of what the frame shows."""


class CausalResampler(nn.Module):
    """See the top of this file."""

    def __init__(self, seen: int, width: int, num_queries: int, history: int) -> None:
        """Make it with random weights.

        Args:
            seen: width of the tokens of frames.
            width: of the tokens that come out.
            history: frames in a window.

        Raises:
            ConfigError: if there are no frames or no queries, or the heads do not divide the width.
        """
        super().__init__()
        if history < 1:
            raise ConfigError(f"a resampler over time needs a frame to read, got history={history}")
        self.resampler = PerceiverResampler(seen, width, num_queries)
        self.norm = nn.LayerNorm(seen)
        self.age = nn.Parameter(torch.randn(history, seen) * AGE_SCALE)

    def forward(
        self, x: Float[Tensor, "batch tokens seen"], is_padding: Bool[Tensor, "batch tokens"], grid: tuple[int, int]
    ) -> tuple[Float[Tensor, "batch queries width"], Bool[Tensor, "batch queries"]]:
        """Of one picture, as where an episode begins with it."""
        return self.over_time(x[:, None], is_padding[:, None])

    def grid_of(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of what comes out: the queries have no shape."""
        return self.resampler.grid_of(grid)

    def over_time(
        self, x: Float[Tensor, "batch frames tokens seen"], is_padding: Bool[Tensor, "batch frames tokens"]
    ) -> tuple[Float[Tensor, "batch queries width"], Bool[Tensor, "batch queries"]]:
        """The tokens of the last frame's control step; padding where everything seen is.

        Args:
            x: frames, oldest first.
        """
        return self._of(x.shape[1] - 1, x, is_padding)

    def at_all_times(
        self, x: Float[Tensor, "batch frames tokens seen"], is_padding: Bool[Tensor, "batch frames tokens"]
    ) -> Float[Tensor, "batch frames queries width"]:
        """The tokens of every frame's control step; there may be more frames than a window has."""
        return torch.stack([self._of(time, x, is_padding)[0] for time in range(x.shape[1])], dim=1)

    def _of(
        self, time: int, x: Tensor, is_padding: Tensor
    ) -> tuple[Float[Tensor, "batch queries width"], Bool[Tensor, "batch queries"]]:
        window = slice(max(0, time + 1 - len(self.age)), time + 1)
        frames = self.norm(x[:, window])
        aged = frames + self.age[: frames.shape[1]].flip(0)[:, None].to(frames.dtype)
        return self.resampler(aged.flatten(1, 2), is_padding[:, window].flatten(1), (1, aged.shape[2]))
