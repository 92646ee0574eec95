"""A process that stands in for a controller, at an address of this machine.

    ControllerProcess ──"drop 0.1"──► standard input       python -m MODULE HOST ARGUMENT...
                      ◄───"done"────  standard output      ends when its standard input does, and so with this process

It says `done` when it serves, and after each line that it is told.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence


class ControllerProcess:
    """One that serves."""

    def __init__(self, module: str, host: str, arguments: Sequence[str] = ()) -> None:
        """Start it; it ends with this process, or when closed.

        Args:
            module: that `python -m` runs.
            host: where clients find it.

        Raises:
            OSError: if it does not begin to serve.
        """
        self.host = host
        command = [sys.executable, "-m", module, host, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not self._is_done():
            self.close()
            raise OSError(f"{module} did not begin to serve at {host}: is one of its ports taken?")

    def tell(self, line: str) -> None:
        """Have it do this; returns when it is done.

        Raises:
            OSError: if it has ended, or ends over this.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        if not self._is_done():
            raise OSError(f"what serves at {self.host} ended when it was told '{line}'")

    def stop(self) -> None:
        """Stop it where it stands, sockets open."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it at once; `close` is still due."""
        self._process.kill()

    def close(self) -> None:
        """End it, and close its pipes."""
        self._process.kill()
        self._process.communicate()

    def _is_done(self) -> bool:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip() == "done"
