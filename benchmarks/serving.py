"""The policy server: what strictness costs a round trip, how soon its death is known, and damaged messages.

    openpi's client ──► plain server      decodes as openpi's does, and sends the same answer
    openpi's client ──► `vla serve`       strict decoding, sessions, deadlines, the policy in a thread
    RemotePolicy    ──► `vla serve`       and the answers checked
    LeRobot's client ─► LeRobot's server  gRPC and pickle, where LeRobot's extra `async` is installed

Each server has a process of its own, and its policy computes nothing. Without `openpi_client` installed, the same few
lines of it stand here. They take turns, a hundred round trips at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import multiprocessing
import os
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.sync.client import ClientConnection, connect

from vla.embodiment import CameraSpec
from vla.errors import ServerError
from vla.testing import SMALL_EMBODIMENT, make_observation
from vla_policies.baselines import ZeroPolicy
from vla_policies.remote import RemotePolicy
from vla_policies.serving import wire
from vla_policies.serving.background import served
from vla_policies.serving.messages import Begin, Header, Request

BODY = dataclasses.replace(SMALL_EMBODIMENT, cameras=(CameraSpec("scene", 224, 224), CameraSpec("wrist", 224, 224)))
SEEN = make_observation(BODY, 0)
MESSAGE = {f"observation/images/{name}": image for name, image in SEEN.images.items()} | {
    "observation/state": SEEN.proprioception,
    "prompt": SEEN.instruction,
}
TURNS, TRIPS = 10, 100
KILLS = 20
LEROBOT = "LeRobot's client, LeRobot's server"
FUZZED = 100_000
BURST = 100


def measurements(store: str | None) -> dict[str, Any]:
    """Print and give back the figures."""
    result = {
        "payload_bytes": len(wire.encode(MESSAGE)),
        "round_trip_ms": _round_trips(),
        "killed_to_error_ms": _percentiles_ms([_killed() for _ in range(KILLS)]),
        "fuzz": _fuzz(),
    }
    print(f"serving: {result}")
    return result | {"uses_published_client": _has_openpi()}


# --------------------------------------------------------------------------- round trips


def _round_trips() -> dict[str, dict[str, float]]:
    with contextlib.ExitStack() as stack:
        plain, (ours, _) = stack.enter_context(_process(_plain))[0], stack.enter_context(_process(_ours))
        remote = RemotePolicy(ours)
        stack.callback(remote.close)
        remote.reset([0])
        trips: dict[str, Callable[[], object]] = {
            "openpi client, plain server": stack.enter_context(_openpi(plain)),
            "openpi client, vla serve": stack.enter_context(_openpi(ours)),
            "RemotePolicy, vla serve": lambda: remote.predict([SEEN]),
        }
        if _has_lerobot():
            trips[LEROBOT] = stack.enter_context(_lerobot())
        taken: dict[str, list[float]] = {name: [] for name in trips}
        for _ in range(TURNS + 1):
            for name, trip in trips.items():
                taken[name] += [_seconds(trip) for _ in range(TRIPS)]
    return {name: _percentiles_ms(seconds[TRIPS:]) for name, seconds in taken.items()}


def _seconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def _percentiles_ms(seconds: list[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(seconds, q)) * 1e3, 3) for q in (50, 99)} | {"n": len(seconds)}


@contextlib.contextmanager
def _openpi(url: str) -> Iterator[Callable[[], object]]:
    """One round trip of the published client, or of the same lines if it is not installed."""
    if _has_openpi():
        client_policy = importlib.import_module("openpi_client.websocket_client_policy")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            client = client_policy.WebsocketClientPolicy(url)
        yield lambda: client.infer(MESSAGE)
        client._ws.close()
        return
    with connect(url, compression=None, max_size=None, proxy=None) as connection:
        connection.recv()
        yield lambda: _plain_trip(connection)


@contextlib.contextmanager
def _lerobot() -> Iterator[Callable[[], object]]:
    """One round trip of LeRobot's own client with its own server."""
    transport = importlib.import_module("benchmarks.evaluators.lerobot_transport")
    seen: dict[str, Any] = dict(SEEN.images) | {"state": SEEN.proprioception, "task": SEEN.instruction}
    with tempfile.TemporaryDirectory() as folder:
        here = Path.cwd()
        os.chdir(folder)  # LeRobot makes a folder for its logs where it is
        try:
            with (
                _process(functools.partial(transport.serve, folder=Path(folder))) as (address, _),
                transport.round_trip(address, seen) as trip,
            ):
                yield trip
        finally:
            os.chdir(here)


def _has_lerobot() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("lerobot", "grpc"))


def _plain_trip(connection: ClientConnection) -> object:
    connection.send(wire.encode(MESSAGE))
    return msgpack.unpackb(connection.recv(), object_hook=_unpack)


def _has_openpi() -> bool:
    return importlib.util.find_spec("openpi_client") is not None


# --------------------------------------------------------------------------- a server that is killed


def _killed() -> float:
    """Seconds from `kill -9` of a server that is being asked, to the error of the one who asks."""
    with _process(_ours) as (url, pid):
        remote = RemotePolicy(url)
        remote.reset([0])
        killed_s: list[float] = []

        def kill() -> None:
            killed_s.append(time.perf_counter())
            os.kill(pid, signal.SIGKILL)

        timer = threading.Timer(0.05, kill)
        timer.start()
        try:
            while True:
                remote.predict([SEEN])
        except ServerError:
            return time.perf_counter() - killed_s[0]
        finally:
            timer.join()


# --------------------------------------------------------------------------- damaged messages


def _fuzz() -> dict[str, Any]:
    """Messages of which a few bytes are changed, sent in bursts; the server's memory after a tenth and at the end."""
    generator = np.random.default_rng(0)
    small = make_observation(SMALL_EMBODIMENT, 0)
    valid = [
        wire.encode(Request(Header("arm", 3, 100.0, 1.5), small).to_message()),
        wire.encode(Request(Header(), small).to_message()),
        wire.encode(Begin(Header("arm", 4), 7).to_message()),
    ]
    with _process(_ours_small) as (url, pid), connect(url, compression=None, proxy=None) as connection:
        connection.recv()
        memory_mib, begin = [], time.monotonic()
        for burst in range(FUZZED // BURST):
            for _ in range(BURST):
                connection.send(_damaged(valid[generator.integers(len(valid))], generator))
            for _ in range(BURST):
                connection.recv(timeout=10)
            if burst % (FUZZED // BURST // 10) == 0:
                memory_mib.append(_memory_mib(pid))
        seconds = time.monotonic() - begin
        memory_mib.append(_memory_mib(pid))
        remote = RemotePolicy(url)
        remote.reset([0])
        is_alive = len(remote.predict([small])) == 1
        remote.close()
    return {
        "messages": FUZZED,
        "answered": FUZZED,
        "seconds": round(seconds, 1),
        "server_memory_mib": [round(mib, 1) for mib in memory_mib],
        "alive_after": is_alive,
    }


def _damaged(valid: bytes, generator: np.random.Generator) -> bytes:
    data = bytearray(valid)
    for _ in range(generator.integers(1, 6)):
        # Half of the damage to the first bytes, where the structure is and not the pictures.
        reach = len(data) if generator.random() < 0.5 else min(200, len(data))
        place = int(generator.integers(reach))
        data[place : place + int(generator.integers(4))] = generator.bytes(int(generator.integers(4)))
    return bytes(data)


def _memory_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} tells no memory")


# --------------------------------------------------------------------------- the servers, each a process


@contextlib.contextmanager
def _process(target: Callable[[Connection], None]) -> Iterator[tuple[str, int]]:
    """The URL and the number of a process that serves until it is told to end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs,), daemon=True)
    process.start()
    assert process.pid is not None
    try:
        yield ours.recv(), process.pid
    finally:
        with contextlib.suppress(BrokenPipeError):
            ours.send(None)
        process.join(10)


def _ours(pipe: Connection) -> None:
    with served(ZeroPolicy(BODY)) as url:
        pipe.send(url)
        pipe.recv()


def _ours_small(pipe: Connection) -> None:
    with served(ZeroPolicy(SMALL_EMBODIMENT)) as url:
        pipe.send(url)
        pipe.recv()


def _plain(pipe: Connection) -> None:
    asyncio.run(_serve_plain(pipe))


async def _serve_plain(pipe: Connection) -> None:
    """As openpi's server: no limits, no checks, the policy in the event loop."""
    is_over = asyncio.Event()
    answer = {"actions": np.zeros((ZeroPolicy(BODY).horizon, BODY.action_dim), np.float32)}

    async def converse(connection: ServerConnection) -> None:
        await connection.send(wire.encode({}))
        async for data in connection:
            msgpack.unpackb(data, object_hook=_unpack)
            await connection.send(wire.encode(answer))

    async with serve(converse, "127.0.0.1", 0, compression=None, max_size=None) as server:
        loop = asyncio.get_running_loop()
        waiting = threading.Thread(target=lambda: (pipe.recv(), loop.call_soon_threadsafe(is_over.set)), daemon=True)
        waiting.start()
        pipe.send(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
        await is_over.wait()


def _unpack(tree: dict[Any, Any]) -> Any:
    if b"__ndarray__" in tree:
        return np.ndarray(buffer=tree[b"data"], dtype=np.dtype(tree[b"dtype"]), shape=tree[b"shape"])
    return tree
