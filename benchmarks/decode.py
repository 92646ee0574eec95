"""Decoding: our decoder against `transformers.generate` on the same weights, and its own ways against each other.

The models are untrained: time depends on their sizes, not on what they learned. Where both sides decode the same
prefix, they first have to find the same tokens. Where there is a GPU, layouts of published sizes follow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.comparison import Comparison
from benchmarks.decoders.layouts import LAYOUTS
from benchmarks.decoders.layouts import comparisons as layouts
from benchmarks.decoders.peer import generating, opt_with_our_weights
from vla.decoding.execution import StaticCall
from vla.decoding.llama_tokens import LlamaTokens
from vla.decoding.token_decoder import Execution, Method, TokenDecoder
from vla.decoding.token_model import VlaTokens
from vla.model.compact import CompactBackbone, CompactConfig, Prefix
from vla.model.llama import LlamaConfig, LlamaDecoder
from vla.model.prismatic import PrismaticPrefix
from vla.model.quantization import Weights, num_bytes, quantize
from vla.model.vla_model import Head, VlaModel, Vocabulary
from vla.normalization import Statistics
from vla.testing import make_episode, make_observation
from vla.tokens.bins import BinTokenizer, line_grammar
from vla.tokens.text import TextTokenizer
from vla_policies.checkpoint import Checkpoint, make_model
from vla_policies.token_policy import TokenPolicy
from vla_sim.embodiments import TABLETOP_PANDA

NUM_BINS, HORIZON, CHUNKS = 65, 4, 32
NUM_TOKENS = 28
MEDIUM = LlamaConfig(
    vocabulary_size=NUM_BINS, width=1024, layers=8, heads=16, key_value_heads=16, head_dim=64, mlp_width=2816
)
MEDIUM_TOKENS = 7

Tokens = Callable[[], Tensor]


def comparisons() -> list[Comparison]:
    torch.set_num_threads(1)
    on_cpu = [*_against_generate(), _jacobi(), *_quantized(), *_from_pictures(), *_policies()]
    return on_cpu + (_on_gpu() if torch.cuda.is_available() else [])


def _against_generate() -> list[Comparison]:
    """The compact decoder, batch 1, an embedded prefix to `NUM_TOKENS` ids."""
    model, prefix = _model(Head.AUTOREGRESSIVE, NUM_TOKENS), _random_prefix()
    peers = [opt_with_our_weights(model, prefix.tokens.shape[1]) for _ in range(2)]
    peers[1].forward = torch.compile(peers[1].forward)
    dynamic = generating(peers[0], model, prefix)
    static = generating(peers[0], model, prefix, cache_implementation="static", disable_compile=True)
    compiled = generating(peers[1], model, prefix, cache_implementation="static")
    eager, fused = (_ours(model, prefix, execution) for execution in (Execution.EAGER, Execution.COMPILED))
    return [
        _same_tokens("our eager decoder against transformers' generate", dynamic, eager),
        _same_tokens("our compiled decoder against transformers' generate", dynamic, fused),
        _same_tokens("our compiled decoder against transformers' generate, static cache", static, fused),
        _same_tokens("our compiled decoder against transformers' generate, static cache, compiled", compiled, fused),
    ]


def _on_gpu() -> list[Comparison]:
    device, dtype = torch.device("cuda"), torch.bfloat16
    slots, autoregressive = LAYOUTS[:2], LAYOUTS[2:]
    return [
        *layouts(slots, device, dtype, (Execution.EAGER, Execution.GRAPH)),
        *layouts(autoregressive, device, dtype, (Execution.EAGER, Execution.GRAPH)),
        *layouts(autoregressive, device, dtype, (Execution.EAGER, Execution.COMPILED_GRAPH)),
    ]


def _jacobi() -> Comparison:
    model, prefix = _model(Head.AUTOREGRESSIVE, NUM_TOKENS), _random_prefix()
    stepwise, passes = _decoder(model, Execution.COMPILED), _decoder(model, Execution.COMPILED, Method.JACOBI)
    comparison = _same_tokens(
        "fixed-point passes (Jacobi) against one token after the other, both compiled, an untrained model",
        lambda: stepwise.decode(prefix).ids,
        lambda: passes.decode(prefix).ids,
    )
    return dataclasses.replace(comparison, settings=comparison.settings | {"passes": passes.decode(prefix).num_passes})


def _quantized() -> list[Comparison]:
    """A language model too large for the processor's caches, so that reading its weights takes most of the time."""
    return [_quantized_against_full(weights) for weights in (Weights.INT8, Weights.INT4)]


def _quantized_against_full(weights: Weights) -> Comparison:
    full, small = _language_model(), _language_model()
    quantize(small.decoder.blocks, weights)
    prefix = torch.randn(1, 8, MEDIUM.width, generator=torch.Generator().manual_seed(0))
    prefix = PrismaticPrefix(prefix, torch.zeros(1, 8, dtype=torch.bool))
    one, other = (
        TokenDecoder(tokens, line_grammar(MEDIUM_TOKENS, NUM_BINS), execution=Execution.COMPILED)
        for tokens in (full, small)
    )
    return Comparison(
        claim=f"{weights.value} weights against float32, both compiled, {MEDIUM_TOKENS} tokens",
        baseline=lambda: one.decode(prefix),
        contender=lambda: other.decode(prefix),
        work=MEDIUM_TOKENS,
        unit="tokens",
        settings={
            "threads": 1,
            "bytes": {"float32": num_bytes(full.decoder.blocks), weights.value: num_bytes(small.decoder.blocks)},
            "relative_error_of_first_logits": _first_logits_error(full, small, prefix),
        },
        repeats=7,
    )


def _first_logits_error(full: LlamaTokens, small: LlamaTokens, prefix: PrismaticPrefix) -> float:
    with torch.no_grad():
        one, other = (
            tokens.start(prefix.tokens, prefix.is_padding, tokens.new_cache(prefix.tokens, 1))
            for tokens in (full, small)
        )
    return float((one - other).norm() / one.norm())


def _language_model() -> LlamaTokens:
    torch.manual_seed(0)
    decoder = LlamaDecoder(MEDIUM).eval()
    return LlamaTokens(decoder, Head.AUTOREGRESSIVE, NUM_BINS, MEDIUM_TOKENS, first_action_id=0, begin_id=0)


def _from_pictures() -> list[Comparison]:
    """From pictures, words and state to the ids of a chunk, as a robot waits for them."""
    model = _model(Head.SLOTS, HORIZON * TABLETOP_PANDA.action_dim)
    eager, compiled = (_answer(model, execution) for execution in (Execution.EAGER, Execution.COMPILED))
    return [
        Comparison(
            claim="from pictures to a chunk's slots, compiled against eager, batch 1",
            baseline=eager,
            contender=compiled,
            work=1,
            unit="chunks",
            settings={"threads": 1},
            repeats=100,
        )
    ]


def _answer(model: VlaModel, execution: Execution) -> Tokens:
    backbone = model.backbone

    def embed(text: Tensor, is_padding: Tensor, state: Tensor, *images: Tensor) -> Prefix:
        named = dict(zip(backbone.camera_names, images, strict=True))
        return backbone.embed(named, text, is_padding, state)

    random = torch.Generator().manual_seed(0)
    sizes = [(1, camera.height, camera.width, 3) for camera in TABLETOP_PANDA.cameras]
    arguments = [
        torch.randint(0, 400, (1, backbone.config.text_tokens), generator=random),
        torch.zeros(1, backbone.config.text_tokens, dtype=torch.bool),
        torch.randn(1, TABLETOP_PANDA.state_dim, generator=random),
        *(torch.randint(0, 256, size, generator=random).to(torch.uint8) for size in sizes),
    ]
    call = StaticCall(embed, arguments, execution)
    decoder = TokenDecoder(model, line_grammar(model.num_action_tokens, NUM_BINS), execution=execution)
    return lambda: decoder.decode(call(*arguments)).ids


def _policies() -> list[Comparison]:
    """Whole chunks, pictures included, as a robot waits for them."""
    settings: dict[str, object] = {"horizon": HORIZON, "num_bins": NUM_BINS, "threads": 1}
    return [
        Comparison(
            claim="action tokens at once (slots) against one after the other (autoregressive, cached), batch 1",
            baseline=_answering(Head.AUTOREGRESSIVE, batch_size=1),
            contender=_answering(Head.SLOTS, batch_size=1),
            work=CHUNKS,
            unit="chunks",
            settings=settings,
            repeats=5,
        ),
        Comparison(
            claim="slots, batches of 32 against one at a time",
            baseline=_answering(Head.SLOTS, batch_size=1),
            contender=_answering(Head.SLOTS, batch_size=32),
            work=CHUNKS,
            unit="chunks",
            settings=settings,
        ),
    ]


def _same_tokens(claim: str, baseline: Tokens, contender: Tokens) -> Comparison:
    if not torch.equal(baseline(), contender()):
        raise AssertionError(f"the two sides do not find the same tokens: {claim}")
    settings: dict[str, object] = {"tokens": NUM_TOKENS, "batch": 1, "threads": torch.get_num_threads()}
    return Comparison(claim, baseline, contender, work=NUM_TOKENS, unit="tokens", settings=settings, repeats=25)


def _ours(model: VlaModel, prefix: Prefix, execution: Execution) -> Tokens:
    decoder = _decoder(model, execution)
    return lambda: decoder.decode(prefix).ids


def _decoder(model: VlaModel, execution: Execution, method: Method = Method.AUTO) -> TokenDecoder:
    tokens, grammar = VlaTokens(model, is_prefix_causal=True), line_grammar(NUM_TOKENS, NUM_BINS)
    return TokenDecoder(tokens, grammar, method=method, execution=execution)


def _model(head: Head, num_tokens: int) -> VlaModel:
    """The compact model, untrained."""
    torch.manual_seed(0)
    num_text = TextTokenizer.shipped().vocabulary_size
    backbone = CompactBackbone(CompactConfig(), TABLETOP_PANDA.cameras, TABLETOP_PANDA.state_dim, num_text)
    return VlaModel(backbone, head, Vocabulary(num_text, NUM_BINS), num_tokens).eval()


def _random_prefix() -> Prefix:
    width = CompactConfig().width
    tokens = torch.randn(1, 25, width, generator=torch.Generator().manual_seed(0))
    return Prefix(tokens, torch.zeros(1, 25, dtype=torch.bool), torch.zeros(1, 2, 0))


def _answering(head: Head, batch_size: int) -> Callable[[], object]:
    policy = TokenPolicy(_untrained(head), device="cpu", batch_size=batch_size)
    observations = [make_observation(TABLETOP_PANDA, seed=seed) for seed in range(CHUNKS)]
    return lambda: policy.predict(observations)


def _untrained(head: Head) -> Checkpoint:
    episode = make_episode(TABLETOP_PANDA, steps=40, seed=0, lookahead=HORIZON)
    names = [field.name for field in TABLETOP_PANDA.proprioception]
    action_tokenizer = BinTokenizer.fit(episode.labels["lookahead"], TABLETOP_PANDA, NUM_BINS)
    text_tokenizer, backbone = TextTokenizer.shipped(), CompactConfig()
    torch.manual_seed(0)
    return Checkpoint(
        embodiment=TABLETOP_PANDA,
        statistics=Statistics.of(episode.proprioception.astype(np.float64), names).without_values(),
        action_tokenizer=action_tokenizer,
        text_tokenizer=text_tokenizer,
        backbone=backbone,
        head=head,
        config={},
        step=0,
        weights=make_model(TABLETOP_PANDA, action_tokenizer, text_tokenizer, backbone, head).state_dict(),
    )
