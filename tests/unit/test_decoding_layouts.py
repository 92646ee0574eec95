"""The benchmark of the big layouts, at a size for a CPU: the same code, and every side of it runs."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from benchmarks.comparison import measure
from benchmarks.decoders.layouts import LAYOUTS, Layout, Robot, comparisons
from vla.decoding.execution import Execution, StaticCall
from vla.model.llama import LlamaConfig
from vla.model.prismatic import PrismaticConfig, TowerConfig
from vla.model.vla_model import TOKEN_HEADS, Head

pytest.importorskip("timm")

CPU, TOWER = torch.device("cpu"), TowerConfig(width=16, blocks=1, heads=2, image_size=28)
LANGUAGE = LlamaConfig(vocabulary_size=40, width=32, layers=2, heads=4, key_value_heads=2, head_dim=8, mlp_width=48)


def shrunk(layout: Layout) -> Layout:
    """The same layout with small numbers."""
    towers = (TOWER,) * len(layout.config.towers)
    language = dataclasses.replace(LANGUAGE, gate=layout.config.language.gate)
    config = dataclasses.replace(layout.config, towers=towers, language=language, projector_widths=(), text_tokens=3)
    return dataclasses.replace(layout, config=config, num_tokens=6, num_actions=8, repeats=2)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_layout_is_measured_at_a_small_size(layout: Layout, dtype: torch.dtype) -> None:
    (comparison,) = comparisons((shrunk(layout),), CPU, dtype, (Execution.EAGER, Execution.EAGER))
    measured = measure(comparison)
    assert measured.contender_per_s > 0
    assert measured.contender_p99_s == max(measured.contender_s)


@pytest.mark.parametrize("head", TOKEN_HEADS)
def test_a_layout_answers_with_the_ids_of_a_chunk(head: Head) -> None:
    layout = dataclasses.replace(shrunk(LAYOUTS[0]), head=head)
    torch.manual_seed(0)
    ids = Robot(layout, CPU, torch.float32).answering(Execution.EAGER)()
    assert ids.shape == (1, 6)
    assert ((ids >= 0) & (ids < 8)).all()


def test_the_7b_layout_has_two_towers_and_llama_2_sizes() -> None:
    config: PrismaticConfig = LAYOUTS[0].config
    assert [tower.width for tower in config.towers] == [1024, 1152]
    assert (config.language.width, config.language.layers, config.language.mlp_width) == (4096, 32, 11008)


def test_a_static_call_leaves_its_result_in_its_place() -> None:
    call = StaticCall(lambda one, other: one @ other, [torch.zeros(2, 3), torch.zeros(3, 2)], Execution.EAGER)
    one, other = torch.randn(2, 3), torch.randn(3, 2)
    torch.testing.assert_close(call(one, other), one @ other)
