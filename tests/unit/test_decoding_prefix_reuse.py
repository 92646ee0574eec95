"""What is kept of a prefix from one decoding to the next, and that it changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vla.decoding.llama_tokens import LlamaTokens
from vla.decoding.token_decoder import Choice, Leading, Method, TokenDecoder
from vla.decoding.token_model import VlaTokens
from vla.embodiment import CameraSpec
from vla.errors import ConfigError
from vla.model.compact import CompactBackbone, CompactConfig, Prefix
from vla.model.llama import LlamaConfig, LlamaDecoder
from vla.model.vla_model import Head, VlaModel, Vocabulary
from vla.tokens.bins import line_grammar

NUM_TOKENS, NUM_BINS, NUM_PREFIX, NUM_TEXT, WIDTH = 5, 7, 9, 4, 32
LLAMA = LlamaConfig(vocabulary_size=30, width=WIDTH, layers=2, heads=4, key_value_heads=2, head_dim=8, mlp_width=48)


def make_compact() -> VlaModel:
    torch.manual_seed(0)
    config = CompactConfig(width=WIDTH, layers=2, heads=2, mlp_ratio=2, channels=8, text_tokens=4)
    backbone = CompactBackbone(config, [CameraSpec("scene", 8, 8)], 3, 20)
    return VlaModel(backbone, Head.AUTOREGRESSIVE, Vocabulary(20, NUM_BINS), NUM_TOKENS).eval()


def make_llama() -> LlamaTokens:
    torch.manual_seed(0)
    return LlamaTokens(LlamaDecoder(LLAMA).eval(), Head.AUTOREGRESSIVE, NUM_BINS, NUM_TOKENS, 20, 1)


def make_prefix(seed: int, text: int = 0) -> Prefix:
    """Two rows: tokens of an instruction, the second row's last one padding, then those of a picture."""
    words = torch.randn(2, NUM_TEXT, WIDTH, generator=torch.Generator().manual_seed(1000 + text))
    picture = torch.randn(2, NUM_PREFIX - NUM_TEXT, WIDTH, generator=torch.Generator().manual_seed(seed))
    is_padding = torch.zeros(2, NUM_PREFIX, dtype=torch.bool)
    is_padding[1, NUM_TEXT - 1] = True
    return Prefix(torch.cat([words, picture], dim=1), is_padding, torch.zeros(2, 2, 0))


@pytest.mark.parametrize("method", [Method.STEPWISE, Method.JACOBI])
@pytest.mark.parametrize("is_llama", [False, True])
def test_an_instruction_kept_from_the_frame_before_changes_nothing(method: Method, is_llama: bool) -> None:
    model = make_llama() if is_llama else VlaTokens(make_compact(), is_prefix_causal=True)
    keeping, plain = (TokenDecoder(model, line_grammar(NUM_TOKENS, NUM_BINS), method=method) for _ in range(2))
    for seed, text in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 0)]:
        prefix = make_prefix(seed, text)
        kept = keeping.decode(prefix, leading=Leading(text, NUM_TEXT))
        again = plain.decode(prefix)
        assert torch.equal(kept.ids, again.ids)
        torch.testing.assert_close(kept.log_probability, again.log_probability, atol=1e-5, rtol=0)


def test_a_whole_prefix_is_kept_for_several_draws() -> None:
    decoder = TokenDecoder(make_compact(), line_grammar(NUM_TOKENS, NUM_BINS), Choice.SAMPLE)
    plain = TokenDecoder(make_compact(), line_grammar(NUM_TOKENS, NUM_BINS), Choice.SAMPLE)
    for seed in range(3):
        kept = decoder.decode(make_prefix(0), None, torch.Generator().manual_seed(seed), leading=Leading(0, NUM_PREFIX))
        assert torch.equal(kept.ids, plain.decode(make_prefix(0), None, torch.Generator().manual_seed(seed)).ids)


def test_only_what_is_new_goes_through_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    model, through = make_llama(), LlamaDecoder.forward

    def forward(self: LlamaDecoder, x: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
        lengths.append(x.shape[1])
        return through(self, x, *rest, **options)

    monkeypatch.setattr(LlamaDecoder, "forward", forward)
    decoder = TokenDecoder(model, line_grammar(1, NUM_BINS))
    decoder.decode(make_prefix(0))
    lengths.clear()
    for leading in [Leading("a", 4), Leading("a", 4), Leading("b", 4), None, Leading("b", 4), Leading("b", 4)]:
        decoder.decode(make_prefix(0), leading=leading)
    whole, new = NUM_PREFIX + 1, NUM_PREFIX + 1 - NUM_TEXT
    assert lengths == [whole, new, whole, whole, whole, new]


def test_a_part_of_a_prefix_that_sees_itself_cannot_be_kept() -> None:
    decoder = TokenDecoder(make_compact(), line_grammar(NUM_TOKENS, NUM_BINS))
    with pytest.raises(ConfigError, match="first 4 of 9 prefix tokens cannot be kept: in this model they see those"):
        decoder.decode(make_prefix(0), leading=Leading("a", NUM_TEXT))


def test_more_than_the_prefix_cannot_be_kept() -> None:
    decoder = TokenDecoder(make_llama(), line_grammar(NUM_TOKENS, NUM_BINS))
    with pytest.raises(ConfigError, match="a prefix of 9 tokens cannot begin with 10 known ones"):
        decoder.decode(make_prefix(0), leading=Leading("a", NUM_PREFIX + 1))


def test_an_instruction_is_read_once_for_many_pictures() -> None:
    backbone = make_compact().backbone
    text, is_padding = torch.randint(1, 20, (2, 4)), torch.tensor([[False] * 4, [False] * 3 + [True]])
    state = torch.randn(2, 3)
    with torch.no_grad():
        reading = backbone.read(text, is_padding)
        for seed in range(2):
            picture = torch.randint(0, 256, (2, 8, 8, 3), generator=torch.Generator().manual_seed(seed))
            images = {"scene": picture.to(torch.uint8)}
            one, other = backbone.look(images, reading, state), backbone.embed(images, text, is_padding, state)
            assert torch.equal(one.tokens, other.tokens)
            assert torch.equal(one.is_padding, other.is_padding)
