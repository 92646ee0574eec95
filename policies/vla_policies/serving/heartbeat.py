"""Whether a policy server is still there, while nobody asks it anything: pings, and when it was last heard of.

    thread ── ping, every 20 ms ──► server            pong late, none      the network is silent, or the server hangs
           ◄──────────────── pong ──                  connection closed    the server is gone

Any WebSocket server answers pings by itself, openpi's too. Requests are answered when there is an answer, which may
take long; pings are answered at once, so that a chunk is not carried out to its end for a server that is gone.
"""

from __future__ import annotations

import collections
import math
import threading
import time

from websockets.exceptions import WebSocketException
from websockets.protocol import State
from websockets.sync.client import ClientConnection

PING_S = 0.02
"""Between two pings."""


class Heartbeat:
    """When the other end of a connection was last heard of."""

    def __init__(self, connection: ClientConnection) -> None:
        """Ping from now on, until the connection ends or `stop` is called."""
        self._connection = connection
        self._heard_s = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="policy server heartbeat", daemon=True)
        self._thread.start()

    def silent_s(self) -> float:
        """For how long nothing has been heard, s; infinite if the connection is closed."""
        if self._connection.state is not State.OPEN:
            return math.inf
        return time.monotonic() - self._heard_s

    def heard(self) -> None:
        """An answer has come, which counts as a pong."""
        self._heard_s = time.monotonic()

    def stop(self) -> None:
        """Ping no more; comes back when nothing here uses the connection any longer."""
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        waiting: collections.deque[threading.Event] = collections.deque()
        while not self._stopped.is_set():
            due_s = time.monotonic() + PING_S
            try:
                waiting.append(self._connection.ping())
            except (OSError, WebSocketException):
                return
            # A pong answers its ping and those before it, and may take longer than the next ping is away.
            while waiting and waiting[0].wait(max(0.0, due_s - time.monotonic())):
                waiting.popleft()
                self.heard()
            self._stopped.wait(max(0.0, due_s - time.monotonic()))
