"""The published openpi client, unmodified, against our server.

Runs where `openpi_client` can be imported (`uv pip install --no-deps openpi-client`: it asks for an older NumPy than it
needs), and is skipped elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla.interfaces import Observation
from vla.testing import SMALL_EMBODIMENT, FakePolicy, make_observation
from vla_policies.serving import wire
from vla_policies.serving.background import served

reason = "needs openpi-client"
client_policy = pytest.importorskip("openpi_client.websocket_client_policy", reason=reason)
msgpack_numpy = pytest.importorskip("openpi_client.msgpack_numpy", reason=reason)
# It connects without a `with`, which websockets 17 advises against.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def seen(observation: Observation) -> dict[str, Any]:
    images = {f"observation/images/{name}": image for name, image in observation.images.items()}
    return images | {"observation/state": observation.proprioception, "prompt": observation.instruction}


def test_it_gets_the_actions_that_the_policy_gives() -> None:
    policy = FakePolicy()
    policy.reset([0])
    with served(FakePolicy()) as url:
        host, port = url.removeprefix("ws://").split(":")
        client = client_policy.WebsocketClientPolicy(host, int(port))
        for seed in range(5):
            observation = make_observation(SMALL_EMBODIMENT, seed)
            answer = client.infer(seen(observation))
            assert np.array_equal(answer["actions"], policy.predict([observation])[0].actions)
        client._ws.close()


def test_it_reads_our_greeting() -> None:
    with served(FakePolicy()) as url:
        client = client_policy.WebsocketClientPolicy(url)
        told = client.get_server_metadata()
        client._ws.close()
    assert told["fingerprint"] == SMALL_EMBODIMENT.fingerprint
    assert told["observation"]["cameras"]["scene"] == {"height": 16, "width": 24}
    assert told["action"] == {"horizon": 4, "dim": 5, "rate_hz": 10.0}


def test_its_key_is_our_token_and_our_error_is_its_error() -> None:
    token = "a-token-of-more-than-22-characters"
    with served(FakePolicy(), token=token) as url:
        client = client_policy.WebsocketClientPolicy(url, api_key=token)
        with pytest.raises(RuntimeError, match="ObservationError: 'observation/images/scene' is missing"):
            client.infer({})
        assert client.infer(seen(make_observation(SMALL_EMBODIMENT, 0)))["actions"].shape == (4, 5)
        client._ws.close()


def test_our_bytes_are_its_bytes() -> None:
    message = seen(make_observation(SMALL_EMBODIMENT, 0)) | {"seq": np.int64(3), "list": [1.5, None, True]}
    assert wire.encode(message) == msgpack_numpy.packb(message)
    ours = wire.decode(wire.encode(message), max_bytes=1 << 20)
    theirs = msgpack_numpy.unpackb(msgpack_numpy.packb(message))
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours)
