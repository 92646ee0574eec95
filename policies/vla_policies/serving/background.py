"""A policy server in a thread of this process: for tests, benchmarks and notebooks."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator

from vla.interfaces import Policy
from vla_policies.serving.messages import Greeting
from vla_policies.serving.server import PolicyServer, ServerLimits


@contextlib.contextmanager
def served(
    policy: Policy,
    *,
    name: str = "policy",
    port: int = 0,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    limits: ServerLimits | None = None,
) -> Iterator[str]:
    """The URL of a server of this policy on the loopback interface, while the block lasts.

    Args:
        name: of the policy, for the greeting.
        port: a free one if 0.
        token: what clients must show.
        tls: what the server proves itself with.
        limits: defaults if not given.
    """
    greeting = Greeting.of(name, None, policy)
    server = PolicyServer(policy, greeting, token=token, limits=limits)
    loop = asyncio.new_event_loop()
    bound: list[int] = []
    is_bound, is_over = threading.Event(), asyncio.Event()

    async def run() -> None:
        async with server.listening("127.0.0.1", port, tls) as taken:
            bound.append(taken)
            is_bound.set()
            await is_over.wait()

    def run_in_thread() -> None:
        try:
            loop.run_until_complete(run())
        finally:
            is_bound.set()

    thread = threading.Thread(target=run_in_thread, name="policy-server", daemon=True)
    thread.start()
    is_bound.wait()
    if not bound:
        thread.join()
        loop.close()
        raise OSError(f"port {port} cannot be bound")
    try:
        yield f"{'ws' if tls is None else 'wss'}://127.0.0.1:{bound[0]}"
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join()
        loop.close()
