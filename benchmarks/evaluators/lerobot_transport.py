"""A round trip of LeRobot's asynchronous inference: its server and client around a policy that computes nothing.

    RobotClient.send_observation ──► gRPC ──► PolicyServer: queue
    RobotClient.receive_actions  ◄── gRPC ◄── PolicyServer: actions, at once

What is replaced is what is not transport: the robot, and the policy between observation and actions. The server's sleep
that fills up to its target latency is set to nothing, and its log lines, several a request, are not written.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import os
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Queue
from typing import Any

import grpc
import numpy as np
import torch
from lerobot.async_inference.configs import PolicyServerConfig
from lerobot.async_inference.helpers import TimedObservation
from lerobot.async_inference.policy_server import PolicyServer
from lerobot.async_inference.robot_client import RobotClient
from lerobot.transport import services_pb2, services_pb2_grpc

HORIZON, ACTION_DIM = 4, 5
REPLY_S = 5.0
_THREADS = 4  # as LeRobot's own `serve`


class _Server(PolicyServer):
    """Answers with zeros."""

    def _predict_action_chunk(self, observation_t: TimedObservation) -> list[Any]:
        actions = list(torch.zeros(HORIZON, ACTION_DIM))
        return self._time_action_chunk(observation_t.get_timestamp(), actions, observation_t.get_timestep())


class _Client(RobotClient):
    """Has no robot; tells when a chunk has come."""

    def __init__(self, address: str) -> None:
        self.config = types.SimpleNamespace(client_device="cpu", aggregate_fn=None)
        self.channel = grpc.insecure_channel(address)
        self.stub = services_pb2_grpc.AsyncInferenceStub(self.channel)
        self.shutdown_event, self.must_go = threading.Event(), threading.Event()
        self.latest_action, self.action_chunk_size = -1, -1
        self.latest_action_lock, self.action_queue_lock = threading.Lock(), threading.Lock()
        self.action_queue: Queue[Any] = Queue()
        self.start_barrier = threading.Barrier(2)
        self.come = threading.Event()

    def _aggregate_action_queues(self, incoming_actions: list[Any], aggregate_fn: Any = None) -> None:
        super()._aggregate_action_queues(incoming_actions, aggregate_fn)
        self.come.set()


@contextlib.contextmanager
def round_trip(address: str, observation: Mapping[str, np.ndarray | str]) -> Iterator[Callable[[], object]]:
    """One observation there, and its actions in the client's queue."""
    logging.disable(logging.ERROR)
    client = _Client(address)
    client.stub.Ready(services_pb2.Empty())
    receiver = threading.Thread(target=client.receive_actions, daemon=True)
    receiver.start()
    client.start_barrier.wait()
    steps = iter(range(1_000_000_000))

    def trip() -> None:
        client.come.clear()
        client.latest_action = -1
        client.send_observation(TimedObservation(time.time(), next(steps), dict(observation), must_go=True))
        if not client.come.wait(REPLY_S):
            raise TimeoutError(f"LeRobot's server did not answer within {REPLY_S} s")

    try:
        yield trip
    finally:
        client.shutdown_event.set()
        client.channel.close()
        receiver.join(REPLY_S)


def serve(pipe: Connection, folder: Path) -> None:
    """LeRobot's server, until told to end; its logs go into a folder."""
    os.chdir(folder)
    logging.disable(logging.ERROR)
    config = PolicyServerConfig(inference_latency=0.0)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=_THREADS))
    services_pb2_grpc.add_AsyncInferenceServicer_to_server(_Server(config), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    pipe.send(f"127.0.0.1:{port}")
    pipe.recv()
    server.stop(0)
