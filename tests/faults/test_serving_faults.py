"""What goes wrong between a robot and a policy server, row by row: the right answer, and the others are served on."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from vla.errors import ActionError, ConfigError, EmbodimentMismatch, ObservationError, ServerError
from vla.interfaces import ActionChunk, Observation
from vla.testing import SMALL_EMBODIMENT, FakePolicy, make_observation
from vla_policies.loading import load_policy
from vla_policies.remote import RemotePolicy
from vla_policies.serving import inference
from vla_policies.serving.background import served
from vla_policies.serving.messages import Header, Request
from vla_policies.serving.server import ServerLimits
from vla_policies.serving.wire import decode, encode

SEEN = make_observation(SMALL_EMBODIMENT, 0)
TOKEN = "a-token-of-more-than-22-characters"
PATIENCE_S = 60.0
"""For a machine that is busy; nothing here measures time."""


class GatedPolicy:
    """A fake that can be made to wait, to fail, and to answer nonsense."""

    def __init__(self) -> None:
        self._inner = FakePolicy()
        self.embodiment = self._inner.embodiment
        self.horizon = self._inner.horizon
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches: list[int] = []
        self.error: Exception | None = None
        self.poison: float | None = None

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        self._inner.reset(seeds, slots)

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        self.batches.append(len(observations))
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        if self.error is not None and any(seen.instruction == "fail" for seen in observations):
            raise self.error
        chunks = self._inner.predict(observations, slots, committed)
        if self.poison is not None:
            chunks[0].actions[1, 2] = self.poison
        return chunks


@pytest.fixture
def policy() -> GatedPolicy:
    return GatedPolicy()


@pytest.fixture
def url(policy: GatedPolicy) -> Iterator[str]:
    with served(policy, limits=ServerLimits(max_connections=4, grace_s=0.5)) as address:
        yield address


@pytest.fixture
def remote() -> Iterator[Callable[..., RemotePolicy]]:
    with contextlib.ExitStack() as stack:

        def make(url: str, **options: Any) -> RemotePolicy:
            made = RemotePolicy(url, **{"connect_s": 1.0, "reply_s": 5.0, **options})
            stack.callback(made.close)
            return made

        yield make


@contextlib.contextmanager
def talking(url: str, **options: Any) -> Iterator[ClientConnection]:
    """A client that writes its own messages."""
    with connect(url, compression=None, proxy=None, **options) as connection:
        connection.recv(timeout=PATIENCE_S)
        yield connection


def ask(connection: ClientConnection, observation: Observation = SEEN, **header: Any) -> None:
    connection.send(encode(Request(Header(**header), observation).to_message()))


def hear(connection: ClientConnection) -> dict[str, Any]:
    data = connection.recv(timeout=PATIENCE_S)
    assert isinstance(data, bytes), data
    return decode(data, max_bytes=1 << 20)


def kind(answer: dict[str, Any]) -> str:
    return answer["error"]["kind"] if "error" in answer else "answered"


# --------------------------------------------------------------------------- F50, F65: order and control


def test_a_request_that_comes_twice_or_late_is_refused(url: str) -> None:
    with talking(url) as connection:
        for seq in (5, 5, 4, 6):
            ask(connection, seq=seq)
        answers = [hear(connection) for _ in range(4)]
    told = {(answer["seq"], kind(answer)) for answer in answers}
    assert told == {(5, "answered"), (5, "order"), (4, "order"), (6, "answered")} or told == {
        (5, "superseded"),
        (5, "order"),
        (4, "order"),
        (6, "answered"),
    }


def test_a_session_has_one_controller_until_it_leaves(url: str) -> None:
    with talking(url) as second:
        with talking(url) as first:
            ask(first, session="arm", seq=1)
            assert kind(hear(first)) == "answered"
            ask(second, session="arm", seq=1)
            answer = hear(second)
            assert kind(answer) == "busy"
            assert answer["error"]["text"] == "session 'arm' is controlled by another client"
            ask(second, session="other", seq=1)
            assert kind(hear(second)) == "answered"
        _until(lambda: _asked_again(second) == "answered")


def _asked_again(connection: ClientConnection) -> str:
    ask(connection, session="arm", seq=time.monotonic_ns())
    return kind(hear(connection))


def test_two_robots_of_one_name_are_refused(url: str, remote: Callable[..., RemotePolicy]) -> None:
    remote(url, session="arm").reset([0])
    with pytest.raises(ServerError, match=r"refused \(busy\): session 'arm/0' is controlled by another client"):
        remote(url, session="arm").reset([0])


def test_a_newer_observation_takes_the_place_of_one_that_waits(policy: GatedPolicy, url: str) -> None:
    policy.gate.clear()
    with talking(url) as connection:
        ask(connection, seq=1)
        assert policy.entered.wait(PATIENCE_S)
        ask(connection, seq=2)
        ask(connection, seq=3)
        answer = hear(connection)
        assert (answer["seq"], kind(answer)) == (2, "superseded")
        policy.gate.set()
        assert [hear(connection)["seq"] for _ in range(2)] == [1, 3]


def test_observations_that_wait_are_predicted_in_one_batch(policy: GatedPolicy, url: str) -> None:
    policy.gate.clear()
    with talking(url) as connection:
        ask(connection, session="a", seq=1)
        assert policy.entered.wait(PATIENCE_S)
        for session in ("b", "c", "d"):
            ask(connection, session=session, seq=1)
        ask(connection, session="a", seq=1)  # answered at once: by then the server has read the others
        assert kind(hear(connection)) == "order"
        policy.gate.set()
        assert {hear(connection)["session"] for _ in range(4)} == {"a", "b", "c", "d"}
    assert policy.batches == [1, 3]


# --------------------------------------------------------------------------- F48, F64: time


class LaterTime:
    """Real time, some of which has been skipped."""

    skipped_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.skipped_s


def test_an_answer_past_its_deadline_is_an_error_and_no_action(
    policy: GatedPolicy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = LaterTime()
    monkeypatch.setattr(inference, "time", later)
    policy.gate.clear()
    with talking(url) as connection:
        ask(connection, seq=1, deadline_ms=1e3 * PATIENCE_S)
        assert policy.entered.wait(PATIENCE_S)
        later.skipped_s = PATIENCE_S + 0.1
        policy.gate.set()
        answer = hear(connection)
    assert kind(answer) == "late"
    assert "after its deadline" in answer["error"]["text"]
    assert "actions" not in answer


def test_a_request_that_was_held_up_on_its_way_is_late(url: str) -> None:
    with talking(url) as connection:
        for seq, sent_s, expected in ((1, 100.0, "answered"), (2, 100.0 - 3.0, "late"), (3, 100.0, "answered")):
            ask(connection, seq=seq, sent_s=sent_s, deadline_ms=2000.0)
            assert kind(hear(connection)) == expected


def test_a_server_that_hangs_is_left_in_time_and_the_episode_is_lost(
    policy: GatedPolicy, url: str, remote: Callable[..., RemotePolicy]
) -> None:
    client = remote(url, reply_s=0.2)
    client.reset([0])
    policy.gate.clear()
    began = time.monotonic()
    with pytest.raises(ServerError, match=r"has not answered within 0\.2 s"):
        client.predict([SEEN])
    assert time.monotonic() - began < 1.5
    with pytest.raises(ServerError, match="was lost during the episode in slot 0: begin a new one"):
        client.predict([SEEN])
    policy.gate.set()
    client.reset([0])
    assert len(client.predict([SEEN])) == 1


# --------------------------------------------------------------------------- F47: the server dies


def test_a_server_that_dies_ends_the_episode_and_the_next_one_connects_anew(
    remote: Callable[..., RemotePolicy],
) -> None:
    with served(FakePolicy()) as url:
        client = remote(url)
        client.reset([0])
    with pytest.raises(ServerError, match="is lost"):
        client.predict([SEEN])
    with pytest.raises(ServerError, match=f"no policy server at {url}"):
        RemotePolicy(url, connect_s=0.1)
    with served(FakePolicy(), port=int(url.rpartition(":")[2])):
        with pytest.raises(ServerError, match="begin a new one"):
            client.predict([SEEN])
        client.reset([0])
        assert np.array_equal(client.predict([SEEN])[0].actions, _expected())


def test_a_server_that_comes_late_is_waited_for(remote: Callable[..., RemotePolicy]) -> None:
    with served(FakePolicy()) as url:
        pass
    clients: list[RemotePolicy] = []
    waiting = threading.Thread(target=lambda: clients.append(remote(url, connect_s=PATIENCE_S)))
    waiting.start()
    with served(FakePolicy(), port=int(url.rpartition(":")[2])):
        waiting.join()
        clients[0].reset([0])
        assert len(clients[0].predict([SEEN])) == 1


def test_another_policy_at_the_same_address_is_refused(remote: Callable[..., RemotePolicy]) -> None:
    with served(FakePolicy(), name="a") as url:
        client = remote(url)
        client.reset([0])
    with pytest.raises(ServerError):
        client.predict([SEEN])
    port = int(url.rpartition(":")[2])
    with served(FakePolicy(), name="b", port=port), pytest.raises(ServerError, match="another policy than before: 'b'"):
        client.reset([0])
    body = dataclasses.replace(SMALL_EMBODIMENT, control_hz=20.0)
    with (
        served(FakePolicy(body), name="a", port=port),
        pytest.raises(EmbodimentMismatch, match=r"control_hz: 10.0 against 20.0"),
    ):
        client.reset([0])


def test_what_was_asked_before_a_shutdown_is_answered(policy: GatedPolicy) -> None:
    with contextlib.ExitStack() as stack:
        closing = contextlib.ExitStack()
        connection = None
        url = closing.enter_context(served(policy))
        connection = stack.enter_context(talking(url))
        policy.gate.clear()
        ask(connection, seq=1)
        assert policy.entered.wait(PATIENCE_S)
        ending = threading.Thread(target=closing.close)
        ending.start()
        _until(lambda: _health(url) == 503)
        ask(connection, session="late", seq=1)
        assert kind(hear(connection)) == "closing"
        policy.gate.set()
        assert kind(hear(connection)) == "answered"
        ending.join()
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=PATIENCE_S)


# --------------------------------------------------------------------------- F51, F52, F56: what is said


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_chunk_that_is_not_finite_is_never_sent(
    policy: GatedPolicy, url: str, remote: Callable[..., RemotePolicy], value: float
) -> None:
    client = remote(url)
    client.reset([0])
    policy.poison = value
    with pytest.raises(ActionError, match="not finite: 'dz' at step 1"):
        client.predict([SEEN])
    policy.poison = None
    assert len(client.predict([SEEN])) == 1


def test_a_server_for_another_robot_is_refused_field_by_field(url: str) -> None:
    other = dataclasses.replace(SMALL_EMBODIMENT, frame="world", control_hz=5.0)
    with pytest.raises(EmbodimentMismatch, match=r"control_hz: 5.0 against 10.0; frame: 'world' against 'base'"):
        load_policy(url, other)


def test_a_wrong_observation_is_answered_in_one_line_and_the_connection_lives_on(url: str) -> None:
    good = Request(Header(), SEEN).to_message()
    wrong = {
        "'observation/state' is <f4 or <f8 (3,), got <f4 (2,)": good | {"observation/state": np.zeros(2, np.float32)},
        "'observation/images/scene' is |u1 (16, 24, 3), got <f4": good
        | {"observation/images/scene": np.zeros((16, 24, 3), np.float32)},
        "proprioception of small is not finite": good | {"observation/state": np.full(3, np.nan, np.float32)},
        "a request has no key 'model'": good | {"model": "/etc/passwd"},
        "'committed' is <f4 (1, 5), got <f4 (1, 4)": good | {"committed": np.zeros((1, 4), np.float32)},
        "'prompt' is a text": good | {"prompt": 3},
        "'seq' is a whole number": good | {"seq": -1},
        "'deadline_ms' is a number": good | {"deadline_ms": float("nan")},
        "'fresh' is a list of": good | {"fresh": ["elsewhere"]},
        "'begin' is a seed": {"begin": None},
    }
    with talking(url) as connection:
        for expected, message in wrong.items():
            connection.send(encode(message))
            told = connection.recv(timeout=PATIENCE_S)
            assert isinstance(told, str)
            assert "\n" not in told
            assert expected in told
        connection.send("kill")
        assert connection.recv(timeout=PATIENCE_S) == "WireError: a request is a binary message, this one is text"
        ask(connection, seq=1)
        assert kind(hear(connection)) == "answered"


def test_an_observation_that_is_wrong_is_named_before_it_is_sent(url: str, remote: Callable[..., RemotePolicy]) -> None:
    with pytest.raises(ObservationError, match="lacks camera 'wrist'"):
        remote(url).predict([dataclasses.replace(SEEN, images={"scene": SEEN.images["scene"]})])


def test_a_failing_policy_tells_a_number_and_spoils_no_other_client(policy: GatedPolicy, url: str) -> None:
    policy.error = RuntimeError("out of memory at /srv/someone/secret")
    policy.gate.clear()
    with talking(url) as connection:
        ask(connection, session="first", seq=1)
        assert policy.entered.wait(PATIENCE_S)
        ask(connection, dataclasses.replace(SEEN, instruction="fail"), session="bad", seq=1)
        ask(connection, session="good", seq=1)
        ask(connection, session="first", seq=1)
        assert kind(hear(connection)) == "order"
        policy.gate.set()
        answers = {answer["session"]: answer for answer in (hear(connection) for _ in range(3))}
    assert {name: kind(answer) for name, answer in answers.items()} == {
        "first": "answered",
        "good": "answered",
        "bad": "internal",
    }
    assert answers["bad"]["error"]["text"].startswith("the policy failed; the server's log has it as error ")
    assert policy.batches == [1, 2, 1, 1]


def test_what_is_no_policy_server_is_refused() -> None:
    with (
        _shouting(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as url,
        pytest.raises(ServerError, match="no policy"),
    ):
        RemotePolicy(url, connect_s=0.2)


# --------------------------------------------------------------------------- F93 to F99: security


def test_a_message_beyond_the_limit_ends_its_connection_and_no_other(url: str) -> None:
    with talking(url) as other:
        with talking(url) as connection, pytest.raises(ConnectionClosed):
            _say_and_hear(connection, bytes(17 << 20))
        ask(other, seq=1)
        assert kind(hear(other)) == "answered"


def test_connections_beyond_the_limit_are_turned_away(url: str) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(talking(url))
        with pytest.raises(InvalidStatus, match="503"):
            stack.enter_context(talking(url))


def test_a_connection_that_never_becomes_one_is_closed() -> None:
    with (
        served(FakePolicy(), limits=ServerLimits(handshake_s=0.3)) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as idle,
    ):
        idle.settimeout(PATIENCE_S)
        idle.sendall(b"GET / HTTP/1.1\r\n")
        assert idle.recv(100) == b""


def test_a_browser_is_turned_away(url: str) -> None:
    with pytest.raises(InvalidStatus, match="403"), talking(url, origin="http://elsewhere.example"):
        pass


@pytest.mark.parametrize("authorization", [None, "", "Api-Key wrong", f"Basic {TOKEN}", f"Api-Key {TOKEN}x", "ä"])
def test_nobody_gets_in_without_the_token(authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    with (
        served(FakePolicy(), token=TOKEN) as url,
        pytest.raises(InvalidStatus, match="401"),
        talking(url, additional_headers=headers),
    ):
        pass


def test_the_token_lets_in_and_the_metrics_want_it_too(remote: Callable[..., RemotePolicy]) -> None:
    with served(FakePolicy(), token=TOKEN) as url:
        remote(url, token=TOKEN).reset([0])
        with pytest.raises(ServerError, match="it wants a token; name its file in VLA_TOKEN_FILE"):
            remote(url)
        assert _health(url) == 200
        assert _get(f"{url}/metrics")[0] == 401


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ws://robot.example:8000", "over ws://robot.example:8000 anyone on the way could move the arm"),
        ("ws://user:secret@127.0.0.1:8000", "holds no secret"),
        ("http://127.0.0.1:8000", "is ws://HOST:PORT or wss://HOST:PORT"),
        ("ws://", "is ws://HOST:PORT or wss://HOST:PORT"),
    ],
)
def test_an_address_that_is_none_or_not_safe_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RemotePolicy(url)


# --------------------------------------------------------------------------- health and metrics


def test_health_and_metrics_are_on_the_same_port(url: str, remote: Callable[..., RemotePolicy]) -> None:
    client = remote(url)
    client.reset([0])
    client.predict([SEEN])
    assert _health(url) == 200
    status, text = _get(f"{url}/metrics")
    assert status == 200
    assert 'vla_requests_total{outcome="answered"} 2.0' in text
    assert "vla_connections 1.0" in text
    assert "vla_sessions 1.0" in text
    assert f'fingerprint="{SMALL_EMBODIMENT.fingerprint}"' in text
    assert _get(f"{url}/elsewhere")[0] == 404


def test_pings_are_answered_while_the_policy_thinks(policy: GatedPolicy, url: str) -> None:
    policy.gate.clear()
    with talking(url) as connection:
        ask(connection, seq=1)
        assert policy.entered.wait(PATIENCE_S)
        assert connection.ping().wait(PATIENCE_S)
        assert _health(url) == 200
        policy.gate.set()
        hear(connection)


# --------------------------------------------------------------------------- what these tests stand on


def _expected() -> np.ndarray:
    policy = FakePolicy()
    policy.reset([0])
    return policy.predict([SEEN])[0].actions


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url.replace("ws://", "http://"), timeout=PATIENCE_S) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def _health(url: str) -> int:
    return _get(f"{url}/healthz")[0]


def _say_and_hear(connection: ClientConnection, data: bytes) -> bytes | str:
    connection.send(data)
    return connection.recv(timeout=PATIENCE_S)


def _until(holds: Callable[[], bool]) -> None:
    """Return when this holds; asked again and again, as nobody tells when it does."""
    end_s, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not holds():
        assert time.monotonic() < end_s, f"{PATIENCE_S:g} s went by"
        pause.wait(0.005)


@contextlib.contextmanager
def _shouting(answer: bytes) -> Iterator[str]:
    """Something that answers everyone with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def shout() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(answer)

        thread = threading.Thread(target=shout, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE_S)
