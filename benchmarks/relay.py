"""A network that fails on command: a relay of TCP connections on the loopback interface.

    client ══► relay ══► server        forwards both ways
           ══►   ●       silent()      takes nothing off either side, and closes nothing: a cable that was pulled
           ──✕       ✕── cut()         closes every connection

Made anew by `heal()`: what was silent stays lost, new connections are forwarded.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

_CHUNK = 1 << 16


class Relay:
    """Forwards connections to one port until it is told not to; a context manager."""

    def __init__(self, port: int) -> None:
        """Listen on a port of its own.

        Args:
            port: on this machine, where connections are forwarded to.
        """
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(0.2)
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._is_silent = threading.Event()
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept, name="relay", daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where clients find the server."""
        return f"ws://127.0.0.1:{self._listening.getsockname()[1]}"

    def silent(self) -> None:
        """Forward nothing any more; nobody is told."""
        self._is_silent.set()

    def cut(self) -> None:
        """Close every connection on both sides."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for one in (end for pair in pairs for end in pair):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        """Forward connections that are made from now on; those of before are closed."""
        self.cut()
        self._is_silent.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self.cut()
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def _accept(self) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listening.accept()
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._to), timeout=1.0)
        except OSError:
            client.close()
            return
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.settimeout(1.0)
        with self._lock:
            self._pairs.append((client, server))
        thread = threading.Thread(target=self._forward, args=(client, server), name="relayed", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        with client, server, selectors.DefaultSelector() as ready:
            for one in other:
                ready.register(one, selectors.EVENT_READ)
            for one in self._readable(ready, client):
                try:
                    data = one.recv(_CHUNK)
                    if not data:
                        return
                    if not self._is_silent.is_set():
                        other[one].sendall(data)
                except OSError:
                    return

    def _readable(self, ready: selectors.BaseSelector, client: socket.socket) -> Iterator[socket.socket]:
        """Ends that have something to forward, while their connection is one of ours."""
        while not self._is_over.is_set():
            with self._lock:
                if all(pair[0] is not client for pair in self._pairs):
                    return
            if self._is_silent.is_set():
                # Looked at again only when it is over: nothing is taken off either side.
                self._is_over.wait(0.005)
                continue
            for key, _ in ready.select(0.2):
                assert isinstance(key.fileobj, socket.socket)
                yield key.fileobj
