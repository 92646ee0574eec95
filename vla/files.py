"""Files that are whole or absent, and what they hash to."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path


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
