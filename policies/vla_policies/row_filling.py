"""Which sequence goes into which row: first fit over a few open rows, as the sequences come.

    sequence ─► the first open row that has room ─► full, or all are open and none has room: the fullest is done ─► row

The same sequences in the same order give the same rows. No row is held open without end, since every sequence that fits
nowhere closes one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from vla.errors import ConfigError, DataError
from vla_policies.packing import Overlong, PackingConfig, TokenSequence

MAX_DROPPED_IN_A_ROW = 10_000
"""So many samples without one that fits, and nothing will ever fit."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A sequence, and where in the mixture's stream its sample stands."""

    position: int
    sequence: TokenSequence


@dataclasses.dataclass
class FillCounts:
    """What has been packed so far."""

    rows: int = 0
    """Done."""
    tokens: int = 0
    """In rows that are done."""
    samples: dict[int, int] = dataclasses.field(default_factory=dict)
    """In rows that are done, by source."""
    scored: dict[int, int] = dataclasses.field(default_factory=dict)
    """Tokens that count in the loss, in rows that are done, by source."""
    dropped: dict[int, int] = dataclasses.field(default_factory=dict)
    """Sequences that were longer than a row, by source."""

    def add_row(self, row: Sequence[Entry]) -> None:
        """Count a row that is done."""
        self.rows += 1
        for sequence in (entry.sequence for entry in row):
            self.tokens += len(sequence)
            _add(self.samples, sequence.source, 1)
            _add(self.scored, sequence.source, int(sequence.counts.sum()))

    def fill(self, row_tokens: int) -> float:
        """Share of the places that hold a token."""
        return self.tokens / (self.rows * row_tokens) if self.rows else 0.0

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> FillCounts:
        """The counts that `to_json` wrote, whether or not they were JSON in between."""
        by_source = {
            name: {int(source): count for source, count in tree[name].items()}
            for name in ("samples", "scored", "dropped")
        }
        return FillCounts(rows=tree["rows"], tokens=tree["tokens"], **by_source)


class RowFilling:
    """Rows that are being filled."""

    def __init__(self, config: PackingConfig) -> None:
        """With no row open."""
        if config.row_tokens < 1 or config.open_rows < 1:
            raise ConfigError(
                f"packing needs row_tokens and open_rows ≥ 1, got {config.row_tokens} and {config.open_rows}"
            )
        self.config = config
        self.counts = FillCounts()
        self._open: list[list[Entry]] = []
        self._dropped_in_a_row = 0

    @property
    def open_rows(self) -> list[list[Entry]]:
        """Rows that are not done, in the order in which they are tried."""
        return [list(row) for row in self._open]

    def reopen(self, rows: Sequence[Sequence[Entry]]) -> None:
        """Go on with these rows open."""
        self._open = [list(row) for row in rows]

    def add(self, entry: Entry) -> list[list[Entry]]:
        """Put a sequence into a row; the rows that are done by that, none or some.

        Raises:
            DataError: naming a sequence that is longer than a row, unless those are dropped.
        """
        if self._is_dropped(entry.sequence):
            return []
        done = []
        row = next((row for row in self._open if self._room(row) >= len(entry.sequence)), None)
        if row is None:
            done += self._make_place()
            self._open.append(row := [])
        row.append(entry)
        if not self._room(row):
            done.append(self._close(self._open.index(row)))
        return done

    def finish(self) -> list[list[Entry]]:
        """All rows that are open, done as they are."""
        return [self._close(0) for _ in range(len(self._open))]

    def _make_place(self) -> list[list[Entry]]:
        if len(self._open) < self.config.open_rows:
            return []
        rooms = [self._room(row) for row in self._open]
        return [self._close(rooms.index(min(rooms)))]

    def _close(self, index: int) -> list[Entry]:
        row = self._open.pop(index)
        self.counts.add_row(row)
        return row

    def _room(self, row: Sequence[Entry]) -> int:
        return self.config.row_tokens - sum(len(entry.sequence) for entry in row)

    def _is_dropped(self, sequence: TokenSequence) -> bool:
        if len(sequence) <= self.config.row_tokens:
            self._dropped_in_a_row = 0
            return False
        if self.config.overlong is Overlong.REFUSE:
            raise DataError(
                f"{sequence.name or 'a sequence'} has {len(sequence)} tokens, a row {self.config.row_tokens}: give "
                "rows more tokens (row_tokens=), or leave such samples out (overlong=drop), which is counted"
            )
        _add(self.counts.dropped, sequence.source, 1)
        self._dropped_in_a_row += 1
        if self._dropped_in_a_row >= MAX_DROPPED_IN_A_ROW:
            raise DataError(
                f"{self._dropped_in_a_row} samples in a row have more than the {self.config.row_tokens} tokens of a "
                f"row, the last, {sequence.name or 'a sequence'}, {len(sequence)}: give rows more (row_tokens=)"
            )
        return True


def _add(counts: dict[int, int], source: int, number: int) -> None:
    counts[source] = counts.get(source, 0) + number
