"""Files that are whole or absent, what they hash to, and folders that one process writes to."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from vla.errors import ConfigError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Put `content` at `path` by one rename, so that a reader or a crash sees the old file or the new one."""
    staging = path.with_name(f".staging-{uuid.uuid4().hex}-{path.name}")
    try:
        with open(staging, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staging, path)
    finally:
        staging.unlink(missing_ok=True)


def sha256(content: bytes) -> str:
    """64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Make the folder, and be the only process that writes to it; the claim dies with the process.

    Raises:
        ConfigError: if another process writes to it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _claim(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _claim(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(f"another process is writing to {folder}: wait for it, or choose another folder") from None
