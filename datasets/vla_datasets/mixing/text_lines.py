"""Samples without pictures, a line of JSON each: `{"question": "What is two plus one?", "answer": "Three."}`.

A question may be absent or empty; a licence in the line is stated instead of the corpus's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vla.errors import DataError
from vla.files import sha256
from vla_datasets.web.samples import WebSample


class TextLines:
    """The samples of one file, in its order. The file is held in memory, and read as JSON sample by sample."""

    def __init__(self, path: Path, licence: str = "", *, name: str = "") -> None:
        """Of a file of JSON lines; empty lines do not count.

        Args:
            licence: of the lines that state none.

        Raises:
            DataError: if the file cannot be read.
        """
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        numbered = enumerate(content.split(b"\n"), start=1)
        self._lines = [(number, line) for number, line in numbered if line.strip()]
        self._path, self._licence, self._name = path, licence, name or path.stem
        self.sha256 = sha256(content)

    @property
    def name(self) -> str:
        return self._name

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> WebSample:
        """Sample `index`.

        Raises:
            IndexError: beyond the last.
            DataError: naming the line that is no sample, or that no licence is stated for.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self._name} has samples 0 to {len(self) - 1}, not {index}")
        number, line = self._lines[index]
        return self._sample(line, number)

    def _sample(self, line: bytes, number: int) -> WebSample:
        where = f"{self._path}:{number}"
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where} is not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise DataError(f'{where}: expected an object with "question" and "answer", got {type(fields).__name__}')
        answer, licence = _text(fields, "answer", where), _text(fields, "licence", where) or self._licence
        if not answer:
            raise DataError(f"{where} has no answer")
        if not licence:
            raise DataError(f"{where} states no licence: give one for the whole file, licence=")
        return WebSample((), _text(fields, "question", where), answer, "text", licence, f"{self._name}:{number}")


def _text(fields: dict[str, Any], key: str, where: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise DataError(f"{where}: '{key}' is text, got {type(value).__name__}")
    return value
