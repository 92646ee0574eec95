"""The Q-Former against `transformers`' own model of the same sizes and weights."""

from __future__ import annotations

import pytest
import torch

from vla.model.connectors import QFormer

transformers = pytest.importorskip("transformers")

SEEN, WIDTH, QUERIES, LAYERS = 12, 16, 5, 4


def test_a_q_former_is_that_of_transformers_also_where_tokens_are_padding() -> None:
    """Ours gets padding and a mask, the library's own model each row alone, without what is padding."""
    torch.manual_seed(0)
    ours = QFormer(SEEN, WIDTH, QUERIES, layers=LAYERS).eval()
    sizes = transformers.Blip2QFormerConfig(
        hidden_size=WIDTH,
        encoder_hidden_size=SEEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        intermediate_size=4 * WIDTH,
    )
    theirs = transformers.Blip2QFormerModel(sizes).eval()
    theirs.load_state_dict(ours.former.state_dict())
    x = torch.randn(3, 9, SEEN, generator=torch.Generator().manual_seed(1))
    is_padding = torch.arange(9) >= torch.tensor([[9], [6], [1]])
    with torch.no_grad():
        found, hidden = ours(x, is_padding, (3, 3))
        for row in range(3):
            alone = theirs(
                query_embeds=ours.queries[None], encoder_hidden_states=x[row : row + 1, ~is_padding[row]]
            ).last_hidden_state[0]
            torch.testing.assert_close(found[row], alone, atol=1e-5, rtol=0)
            assert alone.std() > 0.3
    assert not hidden.any()
    assert (found[0] - found[1]).abs().max() > 1e-2
