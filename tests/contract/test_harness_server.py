"""Our policy served to the harness `vla-eval`, asked by the harness's own client where it is installed."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
from typing import Any

import numpy as np
import pytest

from vla.errors import ConfigError, EmbodimentMismatch, ObservationError
from vla.interfaces import EpisodeSpec, Observation
from vla.testing import SMALL_EMBODIMENT, FakeEnvironment
from vla.testing.fakes import INSTRUCTION
from vla_policies.checkpoint import Checkpoint
from vla_policies.interchange.feature_mapping import FeatureMapping, NumbersFeature, PictureFeature
from vla_policies.interchange.harness_server import HarnessServer
from vla_policies.rollout import rollout
from vla_policies.serve import ServeConfig, WireProtocol, serve
from vla_policies.token_policy import TokenPolicy

MAPPING = FeatureMapping(
    {c.name: PictureFeature(f"images.{c.name}", c.height, c.width) for c in SMALL_EMBODIMENT.cameras},
    NumbersFeature("state", ("gripper", "joint_1", "joint_2"), (0.5, 1.0, 1.0), (0.0, 0.0, 0.0)),
    NumbersFeature("actions", tuple(f.name for f in SMALL_EMBODIMENT.action), (0.5,) * 5, (0.0,) * 5),
)
SPECS = [EpisodeSpec("far", seed, instruction=INSTRUCTION) for seed in (3, 4)]


@dataclasses.dataclass
class Told:
    """What the server is told of a connection, and what it answers."""

    session_id: str
    step: int = 0
    answers: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    async def send_action(self, action: dict[str, Any]) -> None:
        self.answers.append(action)
        self.step += 1


def as_theirs(observation: Observation) -> dict[str, Any]:
    """The observation as a benchmark of the harness shows it."""
    assert MAPPING.state is not None
    return {
        "images": dict(observation.images),
        "state": MAPPING.state.to_theirs(observation.proprioception, SMALL_EMBODIMENT.proprioception),
        "task_description": observation.instruction,
    }


@pytest.fixture
def policy(small_checkpoint: Checkpoint) -> TokenPolicy:
    return TokenPolicy(small_checkpoint)


@pytest.fixture
def ours(policy: TokenPolicy) -> dict[int, np.ndarray]:
    """The actions of our own loop, by seed."""
    return {result.spec.seed: result.actions for result in rollout(policy, [FakeEnvironment()], SPECS)}


def test_two_connections_are_two_episodes_with_the_actions_of_our_loop(
    policy: TokenPolicy, ours: dict[int, np.ndarray]
) -> None:
    came = asyncio.run(_interleaved(HarnessServer(policy, MAPPING)))
    for seed, actions in came.items():
        assert (np.stack(actions) == ours[seed]).all()


async def _interleaved(server: HarnessServer) -> dict[int, list[np.ndarray]]:
    worlds = {spec.seed: FakeEnvironment() for spec in SPECS}
    seen = {spec.seed: worlds[spec.seed].reset(spec) for spec in SPECS}
    told = {seed: Told(f"session {seed}") for seed in worlds}
    came: dict[int, list[np.ndarray]] = {seed: [] for seed in worlds}
    for session in told.values():
        await server.on_episode_start({"task": {"name": "far"}}, session)
    while told:
        for seed in list(told):
            await server.on_observation(as_theirs(seen[seed]), told[seed])
            theirs = told[seed].answers[-1]["actions"]
            came[seed].append(MAPPING.action.to_ours(theirs, SMALL_EMBODIMENT.action))
            transition = worlds[seed].step(came[seed][-1])
            seen[seed] = transition.observation
            if transition.terminated or transition.truncated:
                await server.on_episode_end({}, told.pop(seed))
    return came


def test_an_observation_without_an_episode_is_refused(policy: TokenPolicy) -> None:
    with pytest.raises(ObservationError, match="came before its episode was begun"):
        asyncio.run(HarnessServer(policy, MAPPING).on_observation({}, Told("one")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": {}}, r"lacks 'images\.scene', which the mapping names; there is: $"),
        ({"state": np.zeros(7)}, r"'state' is \(3,\) by the mapping, got \(7,\)"),
        ({"task_description": None}, "says in 'task_description' what is to be done, got None"),
        ({"images": {"scene": np.zeros((16, 24, 3))}}, r"'images\.scene' is uint8, got float64"),
    ],
)
def test_what_an_observation_lacks_is_told(change: dict[str, Any], message: str, policy: TokenPolicy) -> None:
    async def ask() -> None:
        server, session = HarnessServer(policy, MAPPING), Told("one")
        await server.on_episode_start({}, session)
        await server.on_observation(as_theirs(FakeEnvironment().reset(SPECS[0])) | change, session)

    with pytest.raises(ObservationError, match=message):
        asyncio.run(ask())


def test_a_mapping_of_another_robot_is_refused(policy: TokenPolicy) -> None:
    with pytest.raises(EmbodimentMismatch, match="cameras: 'wrist' is not mapped"):
        HarnessServer(policy, dataclasses.replace(MAPPING, cameras={"scene": MAPPING.cameras["scene"]}))


def test_other_machines_are_not_let_in() -> None:
    pytest.importorskip("websockets")
    config = ServeConfig(policy="pretrained", protocol=WireProtocol.VLA_EVAL, host="0.0.0.0")
    with pytest.raises(ConfigError, match="host="):
        serve(config)


def test_the_harness_itself_gets_the_actions_of_our_loop(policy: TokenPolicy, ours: dict[int, np.ndarray]) -> None:
    pytest.importorskip("vla_eval")
    came = asyncio.run(_over_the_wire(HarnessServer(policy, MAPPING)))
    assert (np.stack(came) == ours[SPECS[0].seed]).all()


async def _over_the_wire(server: HarnessServer) -> list[np.ndarray]:
    client: Any = importlib.import_module("vla_eval.connection")
    harness: Any = importlib.import_module("vla_eval.model_servers.serve")
    world, came = FakeEnvironment(), []
    async with importlib.import_module("anyio").create_task_group() as tasks:
        port = await tasks.start(harness.serve_async, server, "127.0.0.1", 0)
        async with client.Connection(f"ws://127.0.0.1:{port}") as connection:
            observation = world.reset(SPECS[0])
            await connection.start_episode({"task": {"name": "far"}})
            while True:
                answer = await connection.act(as_theirs(observation))
                came.append(MAPPING.action.to_ours(answer["actions"], SMALL_EMBODIMENT.action))
                transition = world.step(came[-1])
                observation = transition.observation
                if transition.terminated or transition.truncated:
                    break
            await connection.end_episode({})
        tasks.cancel_scope.cancel()
    return came
