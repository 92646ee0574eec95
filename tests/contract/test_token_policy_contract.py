from __future__ import annotations

import pytest

from vla.testing import SMALL_EMBODIMENT, check_policy
from vla_policies.checkpoint import Checkpoint
from vla_policies.token_policy import TokenPolicy


@pytest.mark.parametrize("batch_size", [1, 8])
def test_the_token_policy_keeps_the_policy_contract(small_checkpoint: Checkpoint, batch_size: int) -> None:
    check_policy(lambda: TokenPolicy(small_checkpoint, device="cpu", batch_size=batch_size))


def test_an_autoregressive_policy_keeps_the_policy_contract(autoregressive_checkpoint: Checkpoint) -> None:
    check_policy(lambda: TokenPolicy(autoregressive_checkpoint, device="cpu"))


def test_the_policy_declares_what_its_checkpoint_says(small_checkpoint: Checkpoint) -> None:
    policy = TokenPolicy(small_checkpoint, device="cpu")
    assert policy.embodiment == SMALL_EMBODIMENT
    assert policy.horizon == small_checkpoint.action_tokenizer.horizon
