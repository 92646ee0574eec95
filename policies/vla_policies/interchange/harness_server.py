"""Our policies served to the evaluation harness `vla-eval`: `vla serve protocol=vla_eval`.

    benchmark in its container ── observation ──► harness's own server ─► mapping ─► chunk execution ─► policy
                               ◄──── action ─────                      ◄─ mapping ◄──

The harness's package does the talking; what stands here is what it calls a model server, which needs nothing of it but
to be called. One connection is one episode at a time, with a slot and a chunk execution of its own. The harness knows
no token: it is served on this machine alone.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vla.errors import ObservationError
from vla.interfaces import Observation, Policy
from vla.libraries import require_library
from vla_policies.chunking import ChunkExecution, ExecutionConfig, make_execution
from vla_policies.interchange.feature_mapping import FeatureMapping
from vla_policies.interchange.pictures import resized

WORDS = "task_description"
"""Where the harness has the instruction."""


@runtime_checkable
class Session(Protocol):
    """What the harness says of a connection."""

    @property
    def session_id(self) -> str: ...

    @property
    def step(self) -> int:
        """Observations of this episode that were answered."""
        ...

    async def send_action(self, action: dict[str, Any]) -> None: ...


@dataclasses.dataclass
class _Episode:
    slot: int
    execution: ChunkExecution


class HarnessServer:
    """A policy, as the harness calls it; features are dotted paths into its observations: `images.agentview`."""

    def __init__(self, policy: Policy, mapping: FeatureMapping, execution: ExecutionConfig | None = None) -> None:
        """Keep the policy, warmed up.

        Raises:
            EmbodimentMismatch: if the mapping is not one of the policy's embodiment.
            ConfigError: if the execution does not fit the policy's horizon.
        """
        mapping.require_fits(policy.embodiment, whole_observation=True)
        self._policy = policy
        self._mapping = mapping
        self._execution = execution or ExecutionConfig()
        self._episodes: dict[str, _Episode] = {}
        self._is_thinking = asyncio.Lock()
        self._new_execution()

    async def on_serve_start(self, tasks: Any) -> None:
        """Nothing runs beside the answers."""

    async def on_episode_start(self, config: Mapping[str, Any], session: Session) -> None:
        """Begin an episode on this connection, in place of the one before."""
        begun = self._episodes.pop(session.session_id, None)
        taken = {episode.slot for episode in self._episodes.values()}
        slot = begun.slot if begun else next(n for n in range(len(taken) + 1) if n not in taken)
        self._policy.reset([_seed(config)], [slot])
        self._episodes[session.session_id] = _Episode(slot, self._new_execution())

    async def on_observation(self, observation: Mapping[str, Any], session: Session) -> None:
        """Answer with one action, in the harness's units.

        Raises:
            ObservationError: naming what the mapping needs and the observation lacks; the client is told.
        """
        episode = self._episodes.get(session.session_id)
        if episode is None:
            raise ObservationError("an observation came before its episode was begun")
        time_s = session.step * self._policy.embodiment.control_dt_s
        async with self._is_thinking:
            action = await asyncio.to_thread(self._action, observation, episode, time_s)
        await session.send_action({"actions": action})

    async def on_episode_end(self, result: Mapping[str, Any], session: Session) -> None:
        """Free the slot."""
        self._episodes.pop(session.session_id, None)

    def get_action_spec(self) -> dict[str, Any]:
        """Nothing: a mapping says more than the harness's kinds of vector can."""
        return {}

    def get_observation_spec(self) -> dict[str, Any]:
        """Nothing, for the same reason."""
        return {}

    def get_observation_params(self) -> dict[str, Any]:
        """Nothing: what a benchmark is to show is set where it is run."""
        return {}

    def _new_execution(self) -> ChunkExecution:
        return make_execution(self._execution, self._policy.horizon, self._policy.embodiment.control_dt_s)

    def _action(self, observation: Mapping[str, Any], episode: _Episode, time_s: float) -> np.ndarray:
        execution = episode.execution
        if execution.needs_chunk(time_s):
            seen = self._seen(observation, time_s)
            (chunk,) = self._policy.predict([seen], [episode.slot], [execution.committed(time_s)])
            execution.add(chunk, time_s)
        ours = execution.next_action(time_s)
        return self._mapping.action.to_theirs(ours, self._policy.embodiment.action)

    def _seen(self, observation: Mapping[str, Any], time_s: float) -> Observation:
        body, mapping = self._policy.embodiment, self._mapping
        images = {}
        for camera in body.cameras:
            picture = mapping.cameras[camera.name]
            image = _array(observation, picture.feature, (picture.height, picture.width, 3))
            if image.dtype != np.uint8:
                raise ObservationError(f"'{picture.feature}' is uint8, got {image.dtype}")
            images[camera.name] = resized(image, camera.height, camera.width)
        readings = np.zeros(0, np.float32)
        if mapping.state is not None:
            state = _array(observation, mapping.state.feature, (len(mapping.state.fields),))
            readings = mapping.state.to_ours(state.astype(np.float32), body.proprioception)
        return Observation(images, readings, _words(observation), time_s, frozenset([*images, "proprioception"]))


def serve_harness(server: HarnessServer, host: str, port: int) -> None:
    """Serve until told to end.

    Raises:
        ConfigError: naming the extra, if the harness is not installed.
    """
    harness = require_library("vla_eval.model_servers.serve", what="protocol=vla_eval", extra="harness")
    asyncio.run(harness.serve_async(server, host=host, port=port))


def _seed(config: Mapping[str, Any]) -> int:
    """The number of the episode, if the harness tells one."""
    task = config.get("task")
    number = task.get("episode_idx", 0) if isinstance(task, dict) else 0
    return number if type(number) is int and number >= 0 else 0


def _words(observation: Mapping[str, Any]) -> str:
    words = observation.get(WORDS)
    if not isinstance(words, str):
        raise ObservationError(f"an observation says in '{WORDS}' what is to be done, got {words!r:.80}")
    return words


def _array(observation: Mapping[str, Any], path: str, shape: tuple[int, ...]) -> np.ndarray:
    value: Any = observation
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            present = ", ".join(sorted(map(str, value))) if isinstance(value, dict) else type(value).__name__
            raise ObservationError(f"the observation lacks '{path}', which the mapping names; there is: {present}")
        value = value[name]
    if not isinstance(value, np.ndarray) or value.shape != shape:
        got = value.shape if isinstance(value, np.ndarray) else type(value).__name__
        raise ObservationError(f"'{path}' is {shape} by the mapping, got {got}")
    return value
