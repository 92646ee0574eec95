"""What a captured graph cannot hold: an operation that asks the device for a value, or brings it one from the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vla.decoding import execution, jacobi, loops, opening
from vla.decoding.execution import Execution, StaticCall
from vla.decoding.llama_tokens import LlamaTokens
from vla.decoding.token_decoder import Choice, Method, TokenDecoder
from vla.decoding.token_model import TokenModel, VlaTokens
from vla.embodiment import CameraSpec
from vla.interfaces import Grammar
from vla.model.compact import CompactBackbone, CompactConfig, Prefix
from vla.model.llama import LlamaConfig, LlamaDecoder
from vla.model.prismatic import PrismaticBackbone, PrismaticConfig, TowerConfig
from vla.model.vla_model import TOKEN_HEADS, Head, VlaModel, Vocabulary
from vla.tokens.bins import line_grammar

NUM_TOKENS, NUM_BINS, WIDTH = 5, 7, 32
LLAMA = LlamaConfig(vocabulary_size=30, width=WIDTH, layers=1, heads=4, key_value_heads=2, head_dim=8, mlp_width=48)
ASKS_THE_HOST = {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "lift_fresh", "item", "_unique2"}


class NoHost(TorchDispatchMode):
    """Refuses such operations."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in ASKS_THE_HOST, f"aten::{name} cannot be captured"
        return func(*args, **(kwargs or {}))


def strict(action: Callable[[], object], *rest: Any, **options: Any) -> Callable[[], object]:
    def run() -> None:
        with NoHost():
            action()

    return run


@pytest.fixture(autouse=True)
def actions_without_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (execution, jacobi, loops, opening):
        monkeypatch.setattr(module, "prepare", strict)


def make_model(name: str, head: Head) -> TokenModel:
    torch.manual_seed(0)
    if name == "llama":
        return LlamaTokens(LlamaDecoder(LLAMA).eval(), head, NUM_BINS, NUM_TOKENS, 20, 1)
    config = CompactConfig(width=WIDTH, layers=1, heads=2, mlp_ratio=2, channels=8, text_tokens=4)
    backbone = CompactBackbone(config, [CameraSpec("scene", 8, 8)], 3, 20)
    return VlaTokens(VlaModel(backbone, head, Vocabulary(20, NUM_BINS), NUM_TOKENS).eval())


def make_prefix() -> Prefix:
    return Prefix(torch.randn(2, 9, WIDTH), torch.zeros(2, 9, dtype=torch.bool), torch.zeros(2, 2, 0))


def varying_grammar() -> Grammar:
    after = np.arange(NUM_TOKENS + 1)[:, None] + np.array([1, 1, 1, 2, 2, 3, 5])
    accepting = np.arange(NUM_TOKENS + 1) >= NUM_TOKENS - 1
    return Grammar(np.where(after <= NUM_TOKENS, after, -1).astype(np.int32), accepting, NUM_TOKENS)


@pytest.mark.parametrize("name", ["compact", "llama"])
@pytest.mark.parametrize("head", TOKEN_HEADS)
@pytest.mark.parametrize("method", [Method.STEPWISE, Method.JACOBI])
@pytest.mark.parametrize("choice", Choice)
@pytest.mark.parametrize("grammar", [line_grammar(NUM_TOKENS, NUM_BINS), varying_grammar()], ids=["line", "varying"])
def test_no_action_asks_for_a_value(name: str, head: Head, method: Method, choice: Choice, grammar: Grammar) -> None:
    decoder = TokenDecoder(make_model(name, head), grammar, choice, method=method, stop_entropy=1.5)
    assert decoder.decode(make_prefix(), torch.tensor([[0], [-1]])).ids.shape == (2, NUM_TOKENS)


def test_a_look_at_a_value_is_noticed() -> None:
    with pytest.raises(AssertionError, match="_local_scalar_dense cannot be captured"):
        strict(lambda: torch.ones(1).item())()


def test_embedding_pictures_and_words_asks_for_no_value() -> None:
    pytest.importorskip("timm")
    tower = TowerConfig(width=16, blocks=1, heads=2, image_size=28)
    backbone = PrismaticBackbone(PrismaticConfig((tower,), LLAMA, (), views=2, text_tokens=3)).eval()
    arguments = [
        torch.zeros(1, 2, 28, 28, 3, dtype=torch.uint8),
        torch.ones(1, 3, dtype=torch.int64),
        torch.zeros(1, 3, dtype=torch.bool),
    ]
    prefix = StaticCall(backbone.embed, arguments, Execution.GRAPH)(*arguments)
    assert prefix.tokens.shape == (1, 11, WIDTH)
