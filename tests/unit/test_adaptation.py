"""Adapters on weights of few bits, and prompts of vectors: what trains, what stays, what is the same when merged."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.small_runs import SMALL, fill_store, small_run
from vla.errors import ConfigError
from vla.model.lora import PROMPT, AdapterConfig, LoraLinear, QuantizedLoraLinear, adapt, group_of, merge
from vla.model.quantization import Weights, num_bytes
from vla.model.vlm.vlm_config import PretrainedConfig
from vla.testing import check_policy
from vla_policies.checkpoint import Checkpoint, load_checkpoint, published_weights
from vla_policies.train import TrainConfig, train
from vla_policies.trained_policy import trained_policy

FEW = (Weights.INT8, Weights.INT4)


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    fill_store(tmp_path / "store", episodes=4, steps=8)
    return small_run(
        tmp_path,
        out=str(tmp_path / "first"),
        steps=2,
        batch_size=4,
        validation_share=0.0,
        checkpoint_every=1,
        backbone=dataclasses.replace(SMALL, text_tokens=24),
    )


@pytest.mark.parametrize("weights", FEW)
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_in_few_bits_has_the_gradients_of_what_it_stands_for(weights: Weights, bias: bool) -> None:
    torch.manual_seed(0)
    small = QuantizedLoraLinear(nn.Linear(50, 6, bias=bias), 3, 6.0, weights)
    nn.init.normal_(small.lora_up)
    full = LoraLinear(small.merged(), 3, 6.0)
    with torch.no_grad():
        full.weight.copy_(small.weight)
        full.lora_up.copy_(small.lora_up)
        full.lora_down.copy_(small.lora_down)
    x = torch.randn(4, 50)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    one, other = small(ours), full(theirs)
    torch.testing.assert_close(one, other)
    one.square().sum().backward()
    other.square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(small.lora_up.grad, full.lora_up.grad)
    torch.testing.assert_close(small.lora_down.grad, full.lora_down.grad)
    torch.testing.assert_close(small.merged()(x), small(x), atol=1e-5, rtol=0)


def test_rows_share_scales_in_the_largest_even_groups_that_divide_them() -> None:
    assert [group_of(width) for width in (64, 48, 50, 4304)] == [32, 24, 10, 16]
    with pytest.raises(
        ConfigError, match=r"a layer of 33 weights a row cannot be kept in 4 bits: adapter.weights=int8"
    ):
        group_of(33)


@pytest.mark.parametrize("weights", FEW)
def test_frozen_weights_take_few_bits_and_stay_byte_by_byte(
    config: TrainConfig, tmp_path: Path, weights: Weights
) -> None:
    train(config)
    adapted = dataclasses.replace(
        config, init=config.out, out=str(tmp_path / "few"), adapter=AdapterConfig(rank=2, weights=weights)
    )
    train(adapted)
    train(dataclasses.replace(adapted, log_every=7))  # a run that has ended is read again
    first, found = load_checkpoint(Path(config.out)), load_checkpoint(Path(adapted.out))
    model = first.build_model()
    adapt(model, found.adapter, published_weights(first.backbone))
    kept = {name: tensor for name, tensor in model.state_dict().items() if ".base." in name}
    assert any(tensor.dtype in (torch.uint8, torch.int8) for tensor in kept.values())
    for name, tensor in kept.items():
        assert found.weights[name].numpy().tobytes() == tensor.numpy().tobytes(), name
    small = sum(num_bytes(layer.base) for layer in model.modules() if isinstance(layer, QuantizedLoraLinear))
    full = sum(4 * layer.weight.numel() for layer in model.modules() if isinstance(layer, QuantizedLoraLinear))
    assert small < 0.5 * full
    merged = found.build_model()
    assert merged.state_dict().keys() == first.weights.keys()
    check_policy(lambda: trained_policy(found, device="cpu"))
    more = dataclasses.replace(config, init=adapted.out, out=str(tmp_path / "more"), steps=1)
    train(more)  # begins with the adapters merged
    assert not any("lora" in name or ".base." in name for name in load_checkpoint(Path(more.out)).weights)


def test_few_bits_without_adapters_are_refused(config: TrainConfig) -> None:
    with pytest.raises(ConfigError, match=r"adapter.weights=int4 freezes weights: give adapter.rank"):
        train(dataclasses.replace(config, adapter=AdapterConfig(weights=Weights.INT4)))


def prompted(config: TrainConfig, out: Path, tokens: int = 3) -> TrainConfig:
    optimizer = dataclasses.replace(config.optimizer, warmup_steps=0, learning_rate=0.05)
    adapter = AdapterConfig(prompt_tokens=tokens)
    return dataclasses.replace(config, init=config.out, out=str(out), adapter=adapter, optimizer=optimizer)


def test_a_prompt_trains_and_nothing_else_moves(config: TrainConfig, tmp_path: Path) -> None:
    train(config)
    run = prompted(config, tmp_path / "prompted")
    train(run)
    before, after = load_checkpoint(Path(config.out)), load_checkpoint(Path(run.out))
    assert set(after.weights) - set(before.weights) == {PROMPT}
    assert after.weights[PROMPT].shape == (3, 32)
    for name, tensor in before.weights.items():
        assert after.weights[name].numpy().tobytes() == tensor.numpy().tobytes(), name
    check_policy(lambda: trained_policy(after, device="cpu"))
    further = dataclasses.replace(prompted(config, tmp_path / "further"), init=run.out)
    train(further)
    assert not torch.equal(load_checkpoint(Path(further.out)).weights[PROMPT], after.weights[PROMPT])
    whole = dataclasses.replace(config, init=run.out, out=str(tmp_path / "whole"))
    train(whole)  # all trains again, the prompt too
    assert PROMPT in load_checkpoint(Path(whole.out)).weights


def test_a_prompt_speaks_to_the_actions(config: TrainConfig) -> None:
    train(config)
    checkpoint = load_checkpoint(Path(config.out))
    one, other = (_logits(checkpoint, seed) for seed in (0, 1))
    assert (one - other).abs().max() > 1e-4


@torch.no_grad()
def _logits(checkpoint: Checkpoint, seed: int) -> Tensor:
    model = checkpoint.build_model()
    torch.manual_seed(seed)
    adapt(model, AdapterConfig(prompt_tokens=2), ())
    body = checkpoint.embodiment
    images = {c.name: torch.zeros(2, c.height, c.width, 3, dtype=torch.uint8) for c in body.cameras}
    text = torch.ones(2, 24, dtype=torch.int64)
    prefix = model.backbone.embed(images, text, text == 0, torch.zeros(2, body.state_dim))
    assert prefix.tokens.shape[1] == model.backbone.num_prefix_tokens
    return model(prefix, torch.zeros(2, model.num_action_tokens, dtype=torch.int64))


def test_a_prompt_needs_a_policy_to_begin_with_and_keeps_its_length(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trains nothing but the prompt: begin with a policy \(init=\)"):
        train(dataclasses.replace(config, adapter=AdapterConfig(prompt_tokens=3)))
    train(config)
    run = prompted(config, tmp_path / "prompted")
    train(run)
    longer = dataclasses.replace(prompted(config, tmp_path / "longer", tokens=4), init=run.out)
    with pytest.raises(ConfigError, match="has a prompt of 3 tokens, not 4"):
        train(longer)


def test_a_pretrained_backbone_takes_few_bits_and_a_prompt(config: TrainConfig, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from vla.testing.tiny_vlms import write_tiny_vlm

    own = PretrainedConfig(
        family="qwen2_5_vl", path=str(write_tiny_vlm("qwen2_5_vl", tmp_path / "tiny")), text_tokens=24
    )
    adapter = AdapterConfig(rank=2, weights=Weights.INT4, prompt_tokens=3)
    run = dataclasses.replace(config, pretrained=own, adapter=adapter)
    train(run)
    found = load_checkpoint(Path(run.out))
    assert found.adapter == adapter
    assert found.weights[PROMPT].shape == (3, 32)
    check_policy(lambda: trained_policy(found, device="cpu"))
    model = copy.deepcopy(found.build_model())
    assert merge(model) == 0  # it runs merged
