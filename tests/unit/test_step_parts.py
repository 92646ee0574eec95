"""A step in parts has the losses and the gradient of the step in one."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest
import torch

from tests.small_steps import make_model, make_robot, make_web
from vla.errors import ConfigError
from vla.model.continuous import ChunkTargets
from vla.model.vla_model import Head
from vla_policies.batches import Batch
from vla_policies.precision import Precision, require_precision
from vla_policies.step_parts import parts_of, require_parts, share_of
from vla_policies.trainer import OptimizerConfig, StepMetrics, Trainer
from vla_policies.web_batches import WebBatch

RELATIVE, ABSOLUTE = 2e-6, 2e-7
"""Sums in another order, in float32."""


def take_step(accumulate: int, head: Head, robot: Batch | None, web: WebBatch | None) -> tuple[StepMetrics, Trainer]:
    options = OptimizerConfig(warmup_steps=0, label_spread=0.5)
    trainer = Trainer(make_model(head), options, 10, accumulate=accumulate, precision=Precision.FP32)
    return trainer.train_step(robot, web), trainer


@pytest.mark.parametrize("accumulate", [2, 5])
@pytest.mark.parametrize("head", list(Head))
def test_a_step_in_parts_is_the_step_in_one(head: Head, accumulate: int) -> None:
    whole, one = take_step(1, head, make_robot(), make_web())
    parts, other = take_step(accumulate, head, make_robot(), make_web())
    ours, theirs = dataclasses.asdict(parts), dataclasses.asdict(whole)
    assert ours.pop("web") == pytest.approx(theirs.pop("web"), rel=RELATIVE, abs=ABSOLUTE)
    assert ours == pytest.approx(theirs, rel=RELATIVE, abs=ABSOLUTE, nan_ok=True)
    moments, expected = other.state_dict(), one.state_dict()
    gradients = [name for name in expected if name.startswith("optimizer/exp_avg/")]
    assert len(gradients) > 10
    for name in gradients:
        torch.testing.assert_close(moments[name], expected[name], rtol=1e-4, atol=1e-8)


def test_the_mean_of_the_parts_means_would_be_another_loss() -> None:
    """That the masks of these samples tell the right division from the usual one."""
    whole = take_step(1, Head.SLOTS, make_robot(), None)[0].loss
    parts = [take_step(1, Head.SLOTS, part, None)[0].loss for part in parts_of(make_robot(), 2)]
    assert abs(sum(parts) / 2 - whole) > 1e-3


@pytest.mark.parametrize(("robot", "web"), [(True, False), (False, True)])
def test_robot_and_web_samples_alone_may_be_seen_in_parts(robot: bool, web: bool) -> None:
    given = (make_robot() if robot else None, make_web() if web else None)
    whole, parts = take_step(1, Head.SLOTS, *given)[0], take_step(3, Head.SLOTS, *given)[0]
    assert parts.loss == pytest.approx(whole.loss, rel=RELATIVE, abs=ABSOLUTE)
    assert parts.gradient_norm == pytest.approx(whole.gradient_norm, rel=RELATIVE, abs=ABSOLUTE)


def test_parts_have_every_sample_once_in_order() -> None:
    batch = make_robot()
    parts = parts_of(batch, 5)
    assert torch.equal(torch.cat([part.state for part in parts]), batch.state)
    assert torch.equal(torch.cat([part.images["scene"] for part in parts]), batch.images["scene"])
    noise = [cast(ChunkTargets, part.chunks).noise for part in parts]
    assert torch.equal(torch.cat(noise), cast(ChunkTargets, batch.chunks).noise)
    assert {len(part.state) for part in parts} == {2, 3}


def test_shares_differ_by_one_sample_at_most() -> None:
    shares = [range(10)[share_of(number, 4, 10)] for number in range(4)]
    assert sorted(len(share) for share in shares) == [2, 2, 3, 3]
    assert [place for share in shares for place in share] == list(range(10))


@pytest.mark.parametrize(("total", "among", "message"), [(3, 4, "3 robot samples, fewer than"), (3, 0, "=0: ex")])
def test_parts_without_samples_are_refused(total: int, among: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        require_parts("robot samples", total, among)


def test_eight_bits_are_refused_by_name_where_the_device_has_none() -> None:
    require_precision(Precision.BF16, torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"precision=fp8 needs a GPU .* got device=cpu: take bf16"):
        require_precision(Precision.FP8, torch.device("cpu"))
