"""JSON Lines that others wrote: one object a line, each line of a bounded length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vla.errors import DataError
from vla_datasets.exchange.json_files import parse_object

MAX_LINE_BYTES = 1 << 20
MAX_LINES = 1_000_000


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The object of each line; a last line that is empty is none.

    Raises:
        DataError: naming the file and the line that is no object, or too long, or one too many.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES or number > MAX_LINES:
                    raise DataError(
                        f"{path}, line {number}: at most {MAX_LINES} lines of {MAX_LINE_BYTES} bytes are read"
                    )
                yield parse_object(line, f"{path}, line {number}")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
