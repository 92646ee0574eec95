"""A device whose events are read from a file, without ever waiting for one."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from pathlib import Path

from vla.errors import ConfigError

_log = logging.getLogger(__name__)

READ_BYTES = 4096
"""What is read at once."""


class DeviceFile:
    """A file under /dev, or a pipe that stands in for one."""

    def __init__(self, path: Path | str) -> None:
        """Nothing is opened yet."""
        self._path = Path(path)
        self._file = -1
        self.is_gone = False
        """Whether it was unplugged."""

    def open(self) -> None:
        """Open it for reading.

        Raises:
            ConfigError: if it is not there, or may not be read.
        """
        try:
            self._file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            hint = ": add yourself to the group that owns it (ls -l), or write a udev rule" if _is_denied(error) else ""
            raise ConfigError(f"{self._path} cannot be opened ({error.strerror}){hint}") from error

    def read(self) -> bytes:
        """What has come since this was last called: whole events, as the kernel gives them; empty if nothing."""
        if self._file < 0 or self.is_gone:
            return b""
        try:
            return os.read(self._file, READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            _log.warning("%s cannot be read any more: %s", self._path, error.strerror)
            self.is_gone = True
            return b""

    def close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            with contextlib.suppress(OSError):
                os.close(file)


def _is_denied(error: OSError) -> bool:
    return error.errno in (errno.EACCES, errno.EPERM)
