"""The package `pybullet`, imported on demand."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
from collections.abc import Iterator
from types import ModuleType

from vla.libraries import require_library


@functools.cache
def pybullet() -> ModuleType:
    """The package.

    Raises:
        ConfigError: naming the extra, if it is not installed.
    """
    with _quiet():  # to install it takes some minutes: it is compiled
        return require_library("pybullet", what="engine=bullet or pictures=bullet", extra="bullet")


def disconnect(client: int) -> None:
    """Free a client's memory, if it is still there."""
    bullet = pybullet()
    if bullet.isConnected(client):
        bullet.disconnect(client)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what C code prints: the package announces the time of its build."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept, nowhere = [os.dup(1), os.dup(2)], os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (1, 2):
            os.dup2(nowhere, number)
        yield
    finally:
        # It may still be in C's own buffer.
        ctypes.CDLL(None).fflush(None)
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)
