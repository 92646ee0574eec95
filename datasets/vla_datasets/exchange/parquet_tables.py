"""Columns of Parquet files as NumPy arrays, with what is wrong named by file and column."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vla.errors import DataError


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn what Arrow finds wrong into a DataError that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, KeyError, ValueError, OverflowError, MemoryError) as error:
        raise DataError(f"{path} is not a whole Parquet file: {' '.join(str(error).split())[:200]}") from None


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The whole table; only some columns if named.

    Raises:
        DataError: if the file is damaged.
    """
    with naming(path):
        return pq.ParquetFile(path).read(columns=None if columns is None else list(columns))


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows by column, as plain values.

    Raises:
        DataError: if the file is damaged, or lacks one of the columns.
    """
    table = read_table(path, columns)
    if missing := [column for column in columns if column not in table.column_names]:
        raise DataError(f"{path} has no column '{missing[0]}'")
    with naming(path):
        return table.to_pylist()


def values_of(table: pa.Table, column: str, path: Path) -> list[Any]:
    """A column as plain values.

    Raises:
        DataError: if it is absent or damaged.
    """
    with naming(path):
        return table.column(column).to_pylist()


def numbers(table: pa.Table, column: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    """A column of numbers or of nested lists of numbers as one array (rows, *shape).

    Args:
        shape: of one row; () and (1,) both for plain numbers.

    Raises:
        DataError: if the column is absent, has nulls, or its rows are of another shape.
    """
    if column not in table.column_names:
        raise DataError(f"{where} has no column '{column}'")
    values: Any = table.column(column).combine_chunks()
    while isinstance(values, pa.ExtensionArray):
        values = values.storage
    while (
        pa.types.is_list(values.type) or pa.types.is_fixed_size_list(values.type) or pa.types.is_large_list(values.type)
    ):
        if values.null_count:
            raise DataError(f"{where}, column '{column}' has rows without values")
        values = values.flatten()
    if values.null_count:
        raise DataError(f"{where}, column '{column}' has rows without values")
    flat = np.asarray(values.to_numpy(zero_copy_only=False))
    size = int(np.prod(shape, dtype=np.int64))
    if len(flat) != table.num_rows * size:
        raise DataError(
            f"{where}, column '{column}' has {len(flat)} numbers in {table.num_rows} rows, expected shape {shape} a row"
        )
    return flat.reshape(table.num_rows, *shape)


class EpisodeRows:
    """The rows of one episode after another, from files that hold many; one row group in memory at a time."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = list(columns)
        self._path: Path | None = None
        self._groups: list[tuple[int, int]] = []
        self._file: pq.ParquetFile | None = None
        self._kept: tuple[int, pa.Table] | None = None

    def read(self, path: Path, episode: int) -> pa.Table:
        """The rows of `path` whose `episode_index` is `episode`, in their order.

        Raises:
            DataError: if the file is damaged or has no such column.
        """
        with naming(path):
            self._open(path)
            found = [
                self._rows(group, episode) for group, (low, high) in enumerate(self._groups) if low <= episode <= high
            ]
            return pa.concat_tables(found) if found else pa.table({})

    def _open(self, path: Path) -> None:
        if path == self._path:
            return
        self._file, self._kept, self._path = pq.ParquetFile(path), None, None
        metadata = self._file.metadata
        names = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        if "episode_index" not in names:
            raise DataError(f"{path} has no column 'episode_index'")
        column = names.index("episode_index")
        self._groups = [_bounds(metadata.row_group(group).column(column)) for group in range(metadata.num_row_groups)]
        self._path = path

    def _rows(self, group: int, episode: int) -> pa.Table:
        if self._kept is None or self._kept[0] != group:
            assert self._file is not None
            self._kept = (group, self._file.read_row_group(group, columns=self._columns))
        table = self._kept[1]
        is_wanted = np.asarray(table.column("episode_index").to_numpy()) == episode
        return table if is_wanted.all() else table.filter(pa.array(is_wanted))


def _bounds(column: Any) -> tuple[int, int]:
    """The least and greatest number of a row group; everything if the file does not say."""
    statistics = column.statistics
    if statistics is None or not statistics.has_min_max:
        return 0, np.iinfo(np.int64).max
    return statistics.min, statistics.max
