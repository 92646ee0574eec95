"""Files that are whole or absent, what they hash to, and folders that one process writes to."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vla.errors import ConfigError, VlaError


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


def read_json(path: Path, kind: type[VlaError], *, absent: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        kind: of the error that is raised.
        absent: what it says if there is no such file.

    Raises:
        VlaError: of this kind, naming the file, if it is absent, cannot be read, or holds something else.
    """
    try:
        tree = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise kind(absent) from None
    except OSError as error:
        raise kind(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise kind(f"{path} is not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise kind(f"{path} is a JSON {type(tree).__name__}, expected an object")
    return tree


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
