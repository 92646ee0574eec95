"""What makes steps fast or small, and what is told of it: recomputing, compiling, operations, time to go."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.small_steps import make_model, make_robot, make_web
from vla.embodiment import CameraSpec
from vla.errors import ConfigError
from vla.model.device_peaks import stated_peak
from vla.model.vla_model import Head
from vla.model.vlm.families import family_named
from vla.model.vlm.vlm_backbone import VlmBackbone
from vla.model.vlm.vlm_config import VlmConfig
from vla_policies.block_wrapping import wrap_blocks
from vla_policies.freezing import freeze
from vla_policies.objective import Objective, Weighing
from vla_policies.pace import Pace
from vla_policies.precision import Precision, peak_of
from vla_policies.remaining import Remaining
from vla_policies.spreading import blocks_of
from vla_policies.step_cost import StepCost, step_cost
from vla_policies.step_counts import StepCounts
from vla_policies.trainer import OptimizerConfig, StepMetrics, Trainer
from vla_policies.training_log import in_hours

CPU = torch.device("cpu")


def steps(head: Head = Head.SLOTS, **options: Any) -> tuple[list[StepMetrics], dict[str, torch.Tensor]]:
    trainer = Trainer(make_model(head), OptimizerConfig(warmup_steps=0), 10, **options)
    return [trainer.train_step(make_robot(), make_web()) for _ in range(3)], trainer.state_dict()


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
def test_recomputed_blocks_give_the_same_bits(precision: Precision) -> None:
    plain, expected = steps(precision=precision)
    again, state = steps(precision=precision, recomputes=True)
    assert again == plain
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_recomputed_blocks_keep_less() -> None:
    """What the forward pass keeps outside of blocks: inside, only what they are computed from again."""

    def kept(recomputes: bool) -> int:
        sizes: list[int] = []

        def count(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        model = make_model()
        wrap_blocks(model, recomputes=recomputes, compiles=False)
        objective = Objective(model, Weighing(0.5, 0.0, 1.0, False), Precision.FP32)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            objective(make_robot(), None, StepCounts.of(make_robot()))
        return sum(sizes)

    assert kept(recomputes=True) < 0.8 * kept(recomputes=False)


def test_blocks_are_found_in_towers_and_decoders() -> None:
    """One of text, one of the decoder: no expert's, whose keys and values are asked for by name."""
    assert len(blocks_of(make_model(Head.FLOW))) == 2


def test_blocks_of_a_tower_in_stages_are_found_in_the_stages() -> None:
    pytest.importorskip("transformers")
    from vla.testing.tiny_vlms import tiny_architecture, tiny_words

    prompt = family_named("florence2").prompt.ids(tiny_words("florence2"))
    config = VlmConfig("florence2", tiny_architecture("florence2"), prompt, "", text_tokens=4)
    backbone: Any = VlmBackbone(config, (CameraSpec("scene", 16, 16),), state_dim=3)
    found = blocks_of(backbone)
    assert not any(isinstance(block, torch.nn.ModuleList) for block in found)
    assert set(found) >= {block for stage in backbone.vlm.vision_tower.blocks for block in stage}
    assert set(found) >= {*backbone.language.encoder.layers, *backbone.language.decoder.layers}


# --------------------------------------------------------------------------- operations


def cost_of(head: Head = Head.SLOTS, frozen: tuple[str, ...] = ()) -> StepCost:
    model = make_model(head)
    if frozen:
        freeze(model, frozen)
    objective = Objective(model, Weighing(0.5, 0.0, 1.0, False), Precision.BF16)
    return step_cost(objective, make_robot(), make_web())


def test_a_step_costs_about_three_times_its_forward_pass() -> None:
    """A product forward is two backward; the first layers have no gradient of what they read."""
    model, batch = make_model(), make_robot()
    one = {name: images[:1] for name, images in batch.images.items()}
    with FlopCounterMode(display=False) as counter:
        prefix = model.backbone.embed(one, batch.text[:1], batch.text_is_padding[:1], batch.state[:1])
        model(prefix, batch.actions[:1])
    assert 2.5 * counter.get_total_flops() < cost_of().robot_operations <= 3 * counter.get_total_flops()


def test_what_is_frozen_costs_less() -> None:
    assert cost_of(frozen=("backbone.decoder",)).robot_operations < 0.9 * cost_of().robot_operations


def test_weights_that_no_sample_reaches_are_noticed() -> None:
    objective = Objective(make_model(), Weighing(0.5, 0.0, 1.0, False), Precision.BF16)
    assert not step_cost(objective, make_robot(), make_web()).has_idle
    assert step_cost(objective, make_robot(), None).has_idle  # the places of answers
    assert all(parameter.grad is None for parameter in objective.parameters())


def test_operations_of_samples_add_up() -> None:
    assert StepCost(10.0, 3.0).operations(2, 5) == 35.0


def figures_after_two_seconds(monkeypatch: pytest.MonkeyPatch, *counted: Any) -> dict[str, float]:
    ticks = iter([0.0, 2.0])
    monkeypatch.setattr("time.monotonic", lambda: next(ticks))
    pace = Pace(4, *counted)
    pace.add_step()
    return pace.figures()


def test_utilisation_is_told_where_a_peak_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told = figures_after_two_seconds(monkeypatch, 50.0, 1000.0)
    assert (told["samples_per_s"], told["operations_per_s"], told["utilisation"]) == (2.0, 25.0, 0.025)
    assert "utilisation" not in figures_after_two_seconds(monkeypatch, 50.0)
    assert "operations_per_s" not in figures_after_two_seconds(monkeypatch)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA GH200 480GB", None),
        ("NVIDIA A10G", None),
    ],
)
def test_a_peak_is_stated_for_devices_by_name(name: str, peak: float | None) -> None:
    assert stated_peak(name) == peak


def test_a_processor_has_the_peak_that_is_given_or_none() -> None:
    assert peak_of(Precision.BF16, CPU) is None
    assert peak_of(Precision.FP32, CPU, 1e11) == 1e11
    with pytest.raises(ConfigError, match="peak_operations_s=-1"):
        peak_of(Precision.BF16, CPU, -1.0)


# --------------------------------------------------------------------------- time to go


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def run(remaining: Remaining, clock: Clock, durations: list[float], pauses: dict[int, float] | None = None) -> None:
    for step, seconds in enumerate(durations, start=1):
        with remaining.step():
            clock.now += seconds
        if pauses and step in pauses:
            with remaining.pause("saving"):
                clock.now += pauses[step]


def test_the_time_to_go_is_that_of_the_steps_and_the_pauses_to_come() -> None:
    clock = Clock()
    remaining = Remaining(100, {"saving": 10}, clock)
    run(remaining, clock, [1.0] * 10, {10: 7.0})
    assert remaining.seconds(10) == 90 * 1.0 + 9 * 7.0


def test_one_slow_step_says_nothing_of_the_next() -> None:
    clock = Clock()
    remaining = Remaining(100, {"saving": 10}, clock)
    run(remaining, clock, [600.0, *[2.0] * 8])
    assert remaining.seconds(9) == 91 * 2.0


def test_nothing_is_said_before_a_few_steps() -> None:
    clock = Clock()
    remaining = Remaining(100, {"saving": 10}, clock)
    run(remaining, clock, [1.0, 1.0])
    assert remaining.seconds(2) is None
    assert in_hours(None) == ""
    assert in_hours(3725.4) == "1:02:05 to go"


def test_at_the_end_nothing_is_to_go() -> None:
    clock = Clock()
    remaining = Remaining(6, {"saving": 4}, clock)
    run(remaining, clock, [1.0] * 6, {4: 3.0})
    assert remaining.seconds(6) == 0.0
