"""Batches of packed rows out of a mixture, with a state that is exact in the middle of open rows.

    MixtureLoader of TokenSequences ─► RowFilling ─► rows that are done ─► `rows` at a time ─► PackedRows
                                          └ open rows

A sample follows from its position in the stream, so the state holds positions, not tokens: those of the samples in open
rows, in rows not handed out yet, and without a row yet, and where the loader stands. A resume reads them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vla.errors import ConfigError
from vla_datasets.mixing.loading import MixtureLoader
from vla_policies.packing import PackedRows, PackingConfig, TokenSequence, pack_rows
from vla_policies.row_filling import Entry, FillCounts, RowFilling


class PackedLoader:
    """An endless sequence of packed batches."""

    def __init__(self, loader: MixtureLoader[TokenSequence], config: PackingConfig, rows: int) -> None:
        """Of `rows` rows each; the loader's dataset prepares `TokenSequence`s."""
        if rows < 1:
            raise ConfigError(f"a packed batch needs rows ≥ 1, got {rows}")
        self._loader, self._config, self._rows = loader, config, rows
        self._filling = RowFilling(config)
        self._done: list[list[Entry]] = []
        self._waiting: list[Entry] = []

    @property
    def counts(self) -> FillCounts:
        """What has been packed so far, rows included that are done and not handed out yet."""
        return self._filling.counts

    @property
    def fill(self) -> float:
        """Share of the places in rows that hold a token, so far."""
        return self.counts.fill(self._config.row_tokens)

    def __iter__(self) -> Iterator[PackedRows]:
        """The batches from here on.

        Raises:
            DataError: naming source and item of a sample that cannot be read, or is longer than a row.
        """
        yield from self._batches()
        for samples in self._loader:
            self._waiting = [Entry(sample.draw.position, sample.value) for sample in samples]
            yield from self._batches()

    def _batches(self) -> Iterator[PackedRows]:
        """What is whole once the samples that wait are in rows; one that is refused goes on waiting."""
        while self._waiting or len(self._done) >= self._rows:
            if len(self._done) < self._rows:
                self._done += self._filling.add(self._waiting[0])
                self._waiting = self._waiting[1:]
            else:
                batch, self._done = self._done[: self._rows], self._done[self._rows :]
                yield pack_rows([[entry.sequence for entry in row] for row in batch], self._config.row_tokens)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` goes on from, as JSON values: with the batch after the last one handed out."""
        return {
            "loader": self._loader.state_dict(),
            "identity": self._identity(),
            "open": [_positions(row) for row in self._filling.open_rows],
            "done": [_positions(row) for row in self._done],
            "waiting": _positions(self._waiting),
            "counts": self.counts.to_json(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state. Workers may be others; ranks not, since each has come to another place of the stream.

        Raises:
            ConfigError: naming the difference, if the state is of another mixture, packing, or rank.
            DataError: naming a sample of the rows that cannot be read again.
        """
        differing = [
            f"{name} {state['identity'].get(name)} against {value}"
            for name, value in self._identity().items()
            if state["identity"].get(name) != value
        ]
        if differing:
            raise ConfigError(f"the packing to resume is another one: {', '.join(differing)}")
        self._loader.load_state_dict(state["loader"])
        self._filling = RowFilling(self._config)
        self._filling.counts = FillCounts.from_json(state["counts"])
        self._filling.reopen([self._read(row) for row in state["open"]])
        self._done = [self._read(row) for row in state["done"]]
        self._waiting = self._read(state["waiting"])

    def _identity(self) -> dict[str, Any]:
        return {
            "row_tokens": self._config.row_tokens,
            "open_rows": self._config.open_rows,
            "overlong": self._config.overlong.value,
            "rank": self._loader.rank,
            "num_ranks": self._loader.num_ranks,
        }

    def _read(self, positions: Sequence[int]) -> list[Entry]:
        return [Entry(position, self._loader.dataset[position].value) for position in positions]


def _positions(row: Sequence[Entry]) -> list[int]:
    return [entry.position for entry in row]
