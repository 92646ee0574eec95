"""Connectors: how many tokens come out, that padding is not read, and what is padding then."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vla.errors import ConfigError
from vla.model.connectors import Connector, ConnectorKind, QFormer, make_connector
from vla.model.perceiver import PerceiverResampler

KINDS = (
    ConnectorKind.MLP,
    ConnectorKind.POOLED,
    ConnectorKind.RESAMPLER,
    ConnectorKind.Q_FORMER,
    ConnectorKind.CAUSAL_RESAMPLER,
)
SEEN, WIDTH, QUERIES = 6, 8, 3


def made(kind: ConnectorKind) -> Connector:
    torch.manual_seed(0)
    connector = make_connector(kind, SEEN, WIDTH, QUERIES)
    assert connector is not None
    return connector.eval()


def number_of(kind: ConnectorKind, rows: int, columns: int) -> int:
    pooled = ((rows + 1) // 2) * ((columns + 1) // 2)
    return {ConnectorKind.MLP: rows * columns, ConnectorKind.POOLED: pooled}.get(kind, QUERIES)


@settings(max_examples=30)
@given(kind=st.sampled_from(KINDS), rows=st.integers(1, 5), columns=st.integers(1, 5), data=st.data())
def test_padding_is_not_read_and_numbers_are_as_promised(
    kind: ConnectorKind, rows: int, columns: int, data: st.DataObject
) -> None:
    connector, num = made(kind), rows * columns
    is_padding = torch.tensor([data.draw(st.lists(st.booleans(), min_size=num, max_size=num)) for _ in range(2)])
    x = torch.randn(2, num, SEEN, generator=torch.Generator().manual_seed(1))
    other = torch.where(is_padding[..., None], x + 9.0, x)
    with torch.no_grad():
        found, hidden = connector(x, is_padding, (rows, columns))
        again, hidden_again = connector(other, is_padding, (rows, columns))
    assert found.shape == (2, number_of(kind, rows, columns), WIDTH)
    assert connector.grid_of((rows, columns))[0] * connector.grid_of((rows, columns))[1] == found.shape[1]
    assert torch.equal(hidden, hidden_again)
    assert found.isfinite().all()
    torch.testing.assert_close(found[~hidden], again[~hidden])
    for row in range(2):
        assert bool(hidden[row].all()) == bool(is_padding[row].all())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_seen_comes_through(kind: ConnectorKind) -> None:
    connector, is_padding = made(kind), torch.zeros(1, 16, dtype=torch.bool)
    x = torch.randn(1, 16, SEEN)
    with torch.no_grad():
        difference = connector(x, is_padding, (4, 4))[0] - connector(x.flip(-1), is_padding, (4, 4))[0]
    assert difference.abs().max() > 1e-3


def test_pooling_keeps_places() -> None:
    connector, is_padding = made(ConnectorKind.POOLED), torch.zeros(1, 16, dtype=torch.bool)
    x = torch.zeros(1, 16, SEEN)
    moved = x.clone()
    moved[0, 15] = 1.0  # the last row's last token
    with torch.no_grad():
        change = connector(moved, is_padding, (4, 4))[0] - connector(x, is_padding, (4, 4))[0]
    assert (change.abs().amax(-1)[0] > 1e-6).tolist() == [False, False, False, True]


def test_the_models_own_connector_is_none_of_ours() -> None:
    assert make_connector(ConnectorKind.OWN, SEEN, WIDTH, QUERIES) is None


@pytest.mark.parametrize("connector", [PerceiverResampler, QFormer])
def test_queries_that_are_none_are_refused(connector: type[PerceiverResampler | QFormer]) -> None:
    with pytest.raises(ConfigError, match="got 0 queries"):
        connector(SEEN, WIDTH, 0)
