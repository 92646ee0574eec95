"""`vla serve`: a policy for robots elsewhere, over a WebSocket that openpi clients understand. Not safety-rated.

policy ─► warm up ─► listen ─► answer, until Ctrl-C or a termination ─► answer what was asked ─► close
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import enum
import json
import logging
import signal
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from omegaconf import MISSING

from vla import cli
from vla.embodiment import Embodiment
from vla.errors import ConfigError
from vla.interfaces import Observation, Policy
from vla_policies.history import require_present_alone
from vla_policies.loading import PRETRAINED, checkpoint_folder, checkpoint_hash, is_checkpoint, load_policy
from vla_policies.serving.access import is_loopback, read_token, require_guarded, tls_context
from vla_policies.serving.extra import require_installed

NOT_SAFETY_RATED = (
    "Nothing here is safety-rated: a server cannot see the arm. What protects it stands beside it, and its own "
    "emergency stop stays in the operator's hand."
)


class WireProtocol(enum.Enum):
    """What clients speak."""

    OPENPI = "openpi"
    """WebSocket and msgpack as openpi's clients have them; what `vla deploy server=` speaks."""
    VLA_EVAL = "vla_eval"
    """That of the evaluation harness `vla-eval`, on this machine alone."""


@dataclasses.dataclass
class ServeConfig:
    """Serve a policy to robots elsewhere: `vla deploy server=ws://HOST:PORT`, or any openpi client.

    Only this machine is listened to, unless a token and TLS are given. Nothing here is safety-rated: what protects an
    arm stands beside the arm. Ctrl-C answers what was asked already, and ends.

    Example: vla serve policy=pretrained
    """

    policy: str = MISSING
    """Who acts: pretrained, a checkpoint's folder, zero, random, replay:STORE, ..."""
    embodiment: Path | None = None
    """The robot, as JSON of `Embodiment.to_json`, for policies that know none: zero, random, replay:STORE."""
    host: str = "127.0.0.1"
    """Where to listen; beyond this machine, only with a token and TLS."""
    port: int = 8000
    """Where to listen; 0 takes a free one."""
    token_file: Path | None = None
    """File with the token that clients must show; its owner alone may read it."""
    tls_cert: Path | None = None
    """File with the server's certificate chain, PEM."""
    tls_key: Path | None = None
    """File with the certificate's private key, PEM."""
    batch: int = 1
    """Observations in one pass through a checkpoint's model; 1 answers a single robot soonest."""
    threads: int = 1
    """Of the policy's arithmetic. More are faster on an idle machine, and on a busy one slower by far."""
    max_connections: int = 16
    """Clients at a time; more are turned away."""
    protocol: WireProtocol = WireProtocol.OPENPI
    """What clients speak."""
    mapping: str = "same"
    """With protocol=vla_eval, which of the benchmark's features is which of ours: same, metaworld or a YAML file."""


def main(arguments: Sequence[str]) -> int:
    """Run `vla serve`; the exit status."""
    return cli.run("serve", ServeConfig, serve, arguments)


def serve(config: ServeConfig) -> int:
    """Serve until told to end; 0.

    Raises:
        ConfigError: if a value does not fit, the port is taken, or the server would be open to other machines.
        CheckpointError: if the checkpoint cannot be loaded.
    """
    require_installed()
    _check_numbers(config)
    token = None if config.token_file is None else read_token(config.token_file)
    tls = _tls(config)
    require_guarded(config.host, has_token=token is not None, has_tls=tls is not None)
    policy = load_served(config)
    if config.protocol is WireProtocol.VLA_EVAL:
        return _serve_harness(config, policy)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    print(NOT_SAFETY_RATED, file=sys.stderr)
    asyncio.run(_serve(config, policy, token, tls))
    return 0


def _serve_harness(config: ServeConfig, policy: Policy) -> int:
    if not is_loopback(config.host) or config.token_file is not None:
        raise ConfigError("protocol=vla_eval knows no token: stay on host=127.0.0.1, behind an SSH tunnel if need be")
    from vla_policies.interchange.feature_mapping import named_mapping
    from vla_policies.interchange.harness_server import HarnessServer, serve_harness

    server = HarnessServer(policy, named_mapping(config.mapping, policy.embodiment))
    print(NOT_SAFETY_RATED, file=sys.stderr)
    serve_harness(server, config.host, config.port)
    return 0


def load_served(config: ServeConfig) -> Policy:
    """The policy, for the embodiment of its checkpoint or the one that is given, warmed up.

    Raises:
        ConfigError, CheckpointError, EmbodimentMismatch: if it cannot be loaded, its robot is not known, or it sees
            frames of before, which a client does not send.
    """
    if config.policy.startswith(("ws://", "wss://")):
        raise ConfigError(f"policy={config.policy} is served already: have clients ask there")
    policy = load_policy(config.policy, _embodiment(config), batch_size=config.batch)
    _limit_threads(config.threads)
    require_present_alone(policy, "a client")
    if is_checkpoint(config.policy):
        warm_up(policy)
    return policy


def warm_up(policy: Policy) -> None:
    """Predict once for nobody: the first prediction is slow, and an arm may wait for the second."""
    body = policy.embodiment
    observation = Observation(
        images={camera.name: np.zeros((camera.height, camera.width, 3), np.uint8) for camera in body.cameras},
        proprioception=np.array([(field.low + field.high) / 2 for field in body.proprioception], np.float32),
        instruction="",
        time_s=0.0,
        fresh=frozenset(),
    )
    policy.reset([0], [0])
    policy.predict([observation], [0])


def _embodiment(config: ServeConfig) -> Embodiment:
    if config.embodiment is not None:
        return _read_embodiment(config.embodiment)
    kind, _, inner = config.policy.partition(":")
    name = inner or PRETRAINED if kind in ("blind", "frozen", "removed") else config.policy
    if not is_checkpoint(name):
        raise ConfigError(f"policy={config.policy} knows no robot: give embodiment=FILE")
    folder = checkpoint_folder(name)
    # Loads torch, as the policy will.
    from vla_policies.checkpoint import load_checkpoint

    return load_checkpoint(folder).embodiment


def _read_embodiment(file: Path) -> Embodiment:
    try:
        return Embodiment.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"embodiment={file} is no embodiment: {type(error).__name__}: {error}") from error


def _tls(config: ServeConfig) -> ssl.SSLContext | None:
    if config.tls_cert is None and config.tls_key is None:
        return None
    if config.tls_cert is None or config.tls_key is None:
        raise ConfigError("tls_cert= and tls_key= come together, one of them is missing")
    return tls_context(config.tls_cert, config.tls_key)


def _check_numbers(config: ServeConfig) -> None:
    for name in ("batch", "threads", "max_connections"):
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} is at least 1, got {getattr(config, name)}")
    if not 0 <= config.port <= 65535:
        raise ConfigError(f"port is from 0 to 65535, got {config.port}")


def _limit_threads(threads: int) -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)


async def _serve(config: ServeConfig, policy: Policy, token: str | None, tls: ssl.SSLContext | None) -> None:
    from vla_policies.serving.messages import Greeting
    from vla_policies.serving.server import PolicyServer, ServerLimits

    greeting = Greeting.of(config.policy, checkpoint_hash(config.policy), policy)
    server = PolicyServer(policy, greeting, token=token, limits=ServerLimits(max_connections=config.max_connections))
    is_over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, is_over.set)
    async with contextlib.AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(server.listening(config.host, config.port, tls))
        except OSError as error:
            raise ConfigError(f"cannot listen on host={config.host} port={config.port}: {error}") from error
        scheme = "ws" if tls is None else "wss"
        print(f"serving {config.policy} for {policy.embodiment.name} on {scheme}://{config.host}:{port}", flush=True)
        await is_over.wait()
    print("closed", flush=True)
