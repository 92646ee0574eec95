"""A batch in parts: each process's share of a step, and what of it a device sees at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vla.errors import ConfigError


def share_of(number: int, among: int, total: int) -> slice:
    """Which of `total` samples the `number`-th of `among` gets: neighbours, one more or less than the others get."""
    return slice(number * total // among, (number + 1) * total // among)


def parts_of[T](batch: T, among: int) -> list[T]:
    """A batch in so many parts; the samples in order.

    Args:
        batch: a dataclass whose tensors have samples along their first axis, such as `Batch`, or None.
    """
    if batch is None or among == 1:
        return [batch] * among
    total = _num_samples(batch)
    return [_rows(batch, share_of(number, among, total)) for number in range(among)]


def require_parts(what: str, total: int, accumulate: int, processes: int = 1) -> None:
    """Return if each part of each process's share gets a sample.

    Raises:
        ConfigError: if not, or there are no parts.
    """
    if accumulate < 1:
        raise ConfigError(f"accumulate={accumulate}: expected 1 or more")
    if total // processes < accumulate:
        raise ConfigError(
            f"a step has {total} {what}, fewer than {processes} processes with accumulate={accumulate} make parts of: "
            f"give a larger batch_size or fewer parts"
        )


def _num_samples(batch: Any) -> int:
    return next(
        len(value) for field in dataclasses.fields(batch) if isinstance(value := getattr(batch, field.name), Tensor)
    )


def _rows(value: Any, rows: slice) -> Any:
    if isinstance(value, Tensor):
        return value[rows]
    if isinstance(value, Mapping):
        return {name: _rows(item, rows) for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return dataclasses.replace(value, **{field.name: _rows(getattr(value, field.name), rows) for field in fields})
    return value
