"""The stop button as a file: whoever can write to a run's folder can stop its arm, whatever else is wedged.

    console ─┐
    shell   ─┼─ press ─► one byte of a file ─► looked at on every tick ─► brake, HOLD
    you     ─┘

One byte says that the button is up; every other content, an empty file and a file that was removed count as pressed,
so that damage stops the arm. The byte lives in the page cache, which all processes of this machine share: looking costs
one system call, and needs no thread, lock or network. It is read, not mapped: reading a mapped page of a file that was
cut short kills the reader, and this reader holds the arm. Not safety-rated.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from types import TracebackType

FILE_NAME = "stop.flag"
"""Of the flag in a run's folder."""
_UP, _DOWN = b"0", b"1"


class StopFlag:
    """One button; any number of processes may each hold one of the same path."""

    def __init__(self, path: Path | str) -> None:
        """Open the flag, and make it, not pressed, if there is none; one that is there stays as it is.

        Raises:
            OSError: if the file can neither be opened nor made.
        """
        self.path = Path(path)
        _make(self.path)
        self._file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)

    @property
    def is_pressed(self) -> bool:
        """Whether the arm must stop; so it must where the file is damaged or gone."""
        try:
            is_there = os.fstat(self._file).st_nlink > 0
            return not (is_there and os.pread(self._file, 2, 0) == _UP)
        except OSError:
            return True

    def press(self) -> None:
        """Stop the arm; a flag stays pressed until it is released.

        Raises:
            OSError: if it cannot be written.
        """
        self._write(_DOWN)

    def release(self) -> None:
        """Let the button up again; the arm stays held until whoever runs it resumes.

        Raises:
            OSError: if it cannot be written.
        """
        self._write(_UP)

    def close(self) -> None:
        """Close the file; the flag stays as it is."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def __enter__(self) -> StopFlag:  # noqa: PYI034 - beartype cannot check Self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, state: bytes) -> None:
        os.pwrite(self._file, state, 0)
        os.ftruncate(self._file, len(state))


def _make(path: Path) -> None:
    """Make a released flag in one step, so that nobody ever sees half of one."""
    if path.exists():
        return
    file, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        os.write(file, _UP)
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.close(file)
        os.unlink(name)
