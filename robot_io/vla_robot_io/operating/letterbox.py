"""The newest message of one process to another, through memory that both map: the writer never waits.

    | number, length, checksum | bytes ... |   | number, length, checksum | bytes ... |
              slot 0: messages 0, 2, 4, ...              slot 1: messages 1, 3, 5, ...

One process writes, any number read. A reader that is slow or dead costs the writer nothing: older messages are simply
gone. A message that is overwritten while it is read does not match its checksum, and counts as not there.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

import google_crc32c

from vla.errors import ConfigError

_HEAD = struct.Struct("<QQQ")
"""Number of the message counted from 1, its bytes, its checksum."""
_NUMBER = struct.Struct("<Q")


class Mailbox:
    """One file of two slots."""

    def __init__(self, path: Path, capacity: int | None = None) -> None:
        """Make it, or open one that is there.

        Args:
            path: on a memory file system where possible.
            capacity: the longest message in bytes; not given to open.

        Raises:
            ConfigError: if there is none, or no room for it.
        """
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if capacity else 0), 0o600)
            try:
                if capacity:
                    # Room is taken now: writing to a mapped page that has none would kill the process.
                    os.posix_fallocate(file, 0, 2 * (_HEAD.size + capacity))
                self._size = os.fstat(file).st_size // 2
                self._map = mmap.mmap(file, 2 * self._size)
            finally:
                os.close(file)
        except (OSError, ValueError) as error:
            raise ConfigError(f"the mailbox {path} cannot be opened: {error}") from error
        self._read = 0
        self._written = max(self._numbers())
        """Who writes after another goes on counting."""

    @property
    def capacity(self) -> int:
        """The longest message, bytes."""
        return self._size - _HEAD.size

    def write(self, *parts: bytes | memoryview) -> bool:
        """Put a message of these parts in; False if it is too long."""
        length = sum(len(part) for part in parts)
        if length > self.capacity:
            return False
        self._written += 1
        start = self._size * (self._written % 2)
        # While it is written, the slot holds message 0: none.
        _NUMBER.pack_into(self._map, start, 0)
        at = start + _HEAD.size
        for part in parts:
            self._map[at : at + len(part)] = part
            at += len(part)
        _HEAD.pack_into(self._map, start, 0, length, _checksum(parts))
        _NUMBER.pack_into(self._map, start, self._written)
        return True

    def read(self) -> bytes | None:
        """The newest message, if there is one that this has not read."""
        numbers = self._numbers()
        number = max(numbers)
        start = self._size * numbers.index(number)
        if number == 0 or number == self._read:
            return None
        _, length, checksum = _HEAD.unpack_from(self._map, start)
        if length > self.capacity:
            return None
        message = self._map[start + _HEAD.size : start + _HEAD.size + length]
        if _NUMBER.unpack_from(self._map, start)[0] != number or google_crc32c.value(message) != checksum:
            return None
        self._read = number
        return message

    def close(self) -> None:
        self._map.close()

    def _numbers(self) -> list[int]:
        """Of the messages in the slots; 0 for none."""
        return [_NUMBER.unpack_from(self._map, start)[0] for start in (0, self._size)]


def _checksum(parts: Sequence[bytes | memoryview]) -> int:
    value = 0
    for part in parts:
        value = google_crc32c.extend(value, bytes(part))
    return value


def memory() -> Path:
    """Where mailboxes live: in memory where the system has such a place."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else Path(tempfile.gettempdir())
