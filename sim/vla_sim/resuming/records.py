r"""JSON records that are appended to a file, each of which is whole or is not there.

    <16 hexadecimal digits of SHA-256> <JSON in one line>\n

A process that is killed while it writes leaves a last line without an end; a disk that decays leaves lines that do not
fit their digits. Both are dropped and counted; every other record is what was written.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from vla.files import sha256

_DIGITS = 16


@dataclasses.dataclass(frozen=True)
class Records:
    """What a file holds."""

    whole: list[dict[str, Any]]
    """In the order in which they were written."""
    num_damaged: int
    """Lines that are no record."""
    is_torn: bool
    """Whether the last line has no end: its writer died."""

    @property
    def num_dropped(self) -> int:
        return self.num_damaged + self.is_torn


def to_line(record: dict[str, Any]) -> bytes:
    """One record as it stands in a file.

    Raises:
        ValueError: if a number is not finite, which JSON cannot say.
    """
    body = json.dumps(record, allow_nan=False, separators=(",", ":")).encode()
    return _digits(body) + b" " + body + b"\n"


def read_records(content: bytes) -> Records:
    """The records in a file's bytes, whatever became of them."""
    *lines, rest = content.split(b"\n")
    found = [_read_line(line) for line in lines if line]
    whole = [record for record in found if record is not None]
    return Records(whole, len(found) - len(whole), bool(rest))


def _read_line(line: bytes) -> dict[str, Any] | None:
    digits, _, body = line.partition(b" ")
    if digits != _digits(body):
        return None
    record = json.loads(body)
    return record if isinstance(record, dict) else None


def _digits(body: bytes) -> bytes:
    return sha256(body)[:_DIGITS].encode()
