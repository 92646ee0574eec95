"""The policy that a checkpoint's head asks for."""

from __future__ import annotations

from vla.interfaces import Policy
from vla_policies.checkpoint import Checkpoint
from vla_policies.continuous_policy import ContinuousPolicy
from vla_policies.token_policy import TokenPolicy

DEFAULT_BATCH_SIZE = 8


def trained_policy(
    checkpoint: Checkpoint, *, device: str | None = None, batch_size: int = DEFAULT_BATCH_SIZE
) -> Policy:
    """A checkpoint at work: its tokens become actions, or its numbers do.

    Args:
        device: where to run; a GPU if there is one.
        batch_size: of every pass through the model; 1 answers a single robot soonest.

    Raises:
        CheckpointError: if the weights are not those of the model that the checkpoint describes.
        StatisticsError: if statistics are absent or of other fields.
    """
    if checkpoint.head.is_continuous:
        return ContinuousPolicy(checkpoint, device=device, batch_size=batch_size)
    return TokenPolicy(checkpoint, device=device, batch_size=batch_size)
