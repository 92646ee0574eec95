"""Datasets in Hugging Face's form, from the disk alone: a folder of `save_to_disk`, or the cache with HF_HUB_OFFLINE=1.

Columns are given, never guessed. Pictures must be held as bytes: a path in a table that others made could be any file
of this machine. Needs `datasets` (extra `hub`), from 4.0 on, which runs no code from a dataset.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vla.errors import ConfigError, DataError
from vla.libraries import require_library
from vla_datasets.web.pictures import MAX_PIXELS, decode_picture
from vla_datasets.web.samples import WebSample

if TYPE_CHECKING:
    from datasets import Dataset


@dataclasses.dataclass(frozen=True)
class HubColumns:
    """Which column of the table is what."""

    answer: str
    licence: str
    """What to state for every sample; an SPDX identifier where there is one."""
    images: tuple[str, ...] = ("image",)
    """Columns with one picture each. () for text alone."""
    prompt: str = "caption en"
    """The question, where it is the same for all."""
    question: str = ""
    """The column with the question; then `prompt` is not used."""
    kind: str = "caption"
    """Of every sample."""
    scene: str = ""
    """The column that is equal for rows of one picture; each row is a scene of its own if not given."""

    def named(self) -> tuple[str, ...]:
        """Every column that is read."""
        return (*self.images, *filter(None, (self.answer, self.question, self.scene)))


class HubCorpus:
    """The rows of a table, in its order.

    Args:
        path: what `Dataset.save_to_disk` wrote; or, with HF_HUB_OFFLINE=1, a name in the local cache, `owner/name`.
        split: of a dataset that has several.

    Raises:
        ConfigError: if `datasets` is missing, no licence is stated, or a column or split does not exist.
        DataError: if the path cannot be read, or is not in the cache.
    """

    def __init__(
        self, path: Path | str, columns: HubColumns, *, split: str = "", name: str = "", max_pixels: int = MAX_PIXELS
    ) -> None:
        if not columns.licence.strip():
            raise ConfigError(f"licence= is empty: state the licence of {path}")
        self._name = name or Path(path).name
        self._columns, self._max_pixels = columns, max_pixels
        self._table = _without_decoding(_chosen(_load(path), split, path), columns, path)

    @property
    def name(self) -> str:
        return self._name

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> WebSample:
        if not 0 <= index < len(self):
            raise IndexError(f"{self._name} has samples 0 to {len(self) - 1}, not {index}")
        columns, row, source = self._columns, self._table[index], f"{self._name}:{index}"
        return WebSample(
            images=tuple(self._picture(row[column], f"{source}: {column}") for column in columns.images),
            question=_text(row, columns.question, source) if columns.question else columns.prompt,
            answer=_text(row, columns.answer, source),
            kind=columns.kind,
            licence=columns.licence,
            source=source,
            scene=f"{self._name}:{row[columns.scene]}" if columns.scene else source,
        )

    def _picture(self, cell: Any, where: str) -> Any:
        content = cell.get("bytes") if isinstance(cell, dict) else None
        if not isinstance(content, bytes):
            raise DataError(f"{where} holds no picture as bytes; write the dataset with its pictures embedded")
        return decode_picture(content, where, self._max_pixels)


def _load(path: Path | str) -> Any:
    require_library("datasets", what=f"{path}, a Hugging Face dataset,", extra="hub")
    import datasets.config

    is_folder = Path(path).is_dir()
    if not is_folder and not datasets.config.HF_HUB_OFFLINE:
        raise ConfigError(f"{path} is not a folder; to read it from the cache set HF_HUB_OFFLINE=1: nothing is fetched")
    try:
        return datasets.load_from_disk(str(path)) if is_folder else datasets.load_dataset(str(path))
    # Whatever a broken table raises: Arrow's errors, KeyError, and OSError share no base.
    except Exception as error:
        raise DataError(f"{path} cannot be read as a dataset on the disk or in the cache: {error}") from error


def _chosen(loaded: Any, split: str, path: Path | str) -> Dataset:
    """The table of a split."""
    if not isinstance(loaded, dict):
        if split:
            raise ConfigError(f"{path} is one table without splits: leave out split={split}")
        return loaded
    if split not in loaded:
        raise ConfigError(f"{path} has the splits {sorted(map(str, loaded))}: choose one with split=, got '{split}'")
    return loaded[split]


def _without_decoding(table: Dataset, columns: HubColumns, path: Path | str) -> Dataset:
    """The table with pictures as bytes, so that they pass the same checks as all others."""
    import datasets

    for column in columns.named():
        if column not in table.column_names:
            raise ConfigError(f"{path} has no column '{column}'; its columns: {', '.join(table.column_names)}")
    for column in columns.images:
        if not isinstance(table.features[column], datasets.Image):
            raise ConfigError(f"{path}: column '{column}' is not of pictures but {table.features[column]}")
        table = table.cast_column(column, datasets.Image(decode=False))
    return table.select_columns(list(dict.fromkeys(columns.named())))


def _text(row: dict[str, Any], column: str, where: str) -> str:
    value = row[column]
    if not isinstance(value, str):
        raise DataError(f"{where}: column '{column}' should be a text, it is {value!r:.60}")
    return value
