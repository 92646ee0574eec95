"""The compiled decoder against the eager one."""

from __future__ import annotations

from collections.abc import Iterator

import jaxtyping
import pytest
import torch

from vla.decoding import execution
from vla.decoding.execution import Execution
from vla.decoding.token_decoder import Choice, Method, TokenDecoder
from vla.embodiment import CameraSpec
from vla.errors import ConfigError
from vla.interfaces import Grammar
from vla.model.compact import CompactBackbone, CompactConfig, Prefix
from vla.model.vla_model import TOKEN_HEADS, Head, VlaModel, Vocabulary
from vla.tokens.bins import line_grammar

# The compiler's own modules.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

NUM_TOKENS, NUM_BINS = 6, 7


@pytest.fixture
def without_shape_checks() -> Iterator[None]:
    """A compiler cannot look through them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def grammar() -> Grammar:
    return line_grammar(NUM_TOKENS, NUM_BINS)


def make_model(head: Head) -> VlaModel:
    torch.manual_seed(0)
    config = CompactConfig(width=32, layers=1, heads=2, mlp_ratio=2, channels=8, text_tokens=4)
    backbone = CompactBackbone(config, [CameraSpec("scene", 8, 8)], 3, 20)
    return VlaModel(backbone, head, Vocabulary(20, NUM_BINS), NUM_TOKENS).eval()


def make_prefix(batch: int) -> Prefix:
    is_padding = torch.zeros(batch, 9, dtype=torch.bool)
    is_padding[:, 6:8] = True
    tokens = torch.randn(batch, 9, 32, generator=torch.Generator().manual_seed(1))
    return Prefix(tokens, is_padding, torch.zeros(batch, 2, 4))


@pytest.mark.slow
@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("head", "method", "batch"),
    [
        (Head.AUTOREGRESSIVE, Method.STEPWISE, 1),
        (Head.AUTOREGRESSIVE, Method.JACOBI, 2),
        (Head.SLOTS, Method.AUTO, 1),
    ],
)
def test_compiled_decoding_finds_the_same_tokens(grammar: Grammar, head: Head, method: Method, batch: int) -> None:
    model, prefix = make_model(head), make_prefix(batch)
    eager = TokenDecoder(model, grammar, Choice.SAMPLE, execution=Execution.EAGER)
    compiled = TokenDecoder(model, grammar, Choice.SAMPLE, method=method, execution=Execution.COMPILED)
    for seed in range(3):
        one, other = (each.decode(prefix, None, torch.Generator().manual_seed(seed)) for each in (eager, compiled))
        assert torch.equal(one.ids, other.ids)
        torch.testing.assert_close(one.log_probability, other.log_probability, atol=1e-5, rtol=0)
        torch.testing.assert_close(one.entropy, other.entropy, atol=1e-5, rtol=0)


def test_without_a_compiler_decoding_goes_on_and_says_so(grammar: Grammar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution.shutil, "which", lambda name: None)
    model, prefix = make_model(Head.AUTOREGRESSIVE), make_prefix(2)
    with pytest.warns(UserWarning, match=r"needs a C\+\+ compiler \(g\+\+, clang\+\+ or \$CXX\)"):
        decoder = TokenDecoder(model, grammar, execution=Execution.COMPILED)
    assert torch.equal(decoder.decode(prefix).ids, TokenDecoder(model, grammar).decode(prefix).ids)


@pytest.mark.parametrize("way", [Execution.GRAPH, Execution.COMPILED_GRAPH])
def test_a_graph_without_a_gpu_is_refused(grammar: Grammar, way: Execution) -> None:
    with pytest.raises(ConfigError, match="needs a GPU, and the model is on 'cpu': take 'compiled'"):
        TokenDecoder(make_model(Head.SLOTS), grammar, execution=way)


@pytest.mark.gpu
@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("head", TOKEN_HEADS)
@pytest.mark.parametrize("method", [Method.STEPWISE, Method.JACOBI])
@pytest.mark.parametrize("way", [Execution.GRAPH, Execution.COMPILED_GRAPH])
def test_replayed_graphs_find_the_same_tokens(grammar: Grammar, head: Head, method: Method, way: Execution) -> None:
    model, prefix = make_model(head).cuda(), make_prefix(2)
    prefix = Prefix(prefix.tokens.cuda(), prefix.is_padding.cuda(), prefix.grounding.cuda())
    eager = TokenDecoder(model, grammar, execution=Execution.EAGER)
    graph = TokenDecoder(model, grammar, method=method, execution=way)
    assert torch.equal(eager.decode(prefix).ids, graph.decode(prefix).ids)
