"""Who may open the operator's console, press its buttons and drive from it; and where it may listen."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.access import TOKEN
from vla.clock import VirtualClock
from vla.errors import ConfigError, WireError
from vla_robot_io.loopback import loopback_robot
from vla_robot_io.operating.asking import Request, RequestFile, Verb
from vla_robot_io.operating.live_view import LiveView
from vla_robot_io.stop_flag import FILE_NAME as STOP_FILE
from vla_robot_io.teleoperation.browser import BrowserTeleoperator
from vla_robot_io.teleoperation.hand_drive import HandDrive
from vla_sim.embodiments import TABLETOP_PANDA

pytest.importorskip("starlette", reason="the extra console is not installed")

from vla_robot_io.console.app import make_app
from vla_robot_io.console.console_command import ConsoleConfig, serve
from vla_robot_io.console.desk import MAX_ECHO_S, PADS_REST_S, Desk
from vla_robot_io.console.guard import COOKIE, MAX_SESSIONS, Guard

HOST = "127.0.0.1:8090"
ABOUT = {"policy": "zero", "robot": "loopback", "seconds": 1.0, "max_speed": 1.0, "has_policy": True}
PUSH = {"x": 1.0, "held": True}


class Time:
    """Passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


class Console:
    """A console beside a run that shows itself, asked without a network."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", token: str | None = None) -> None:
        self.folder, self.time = folder, Time()
        robot = loopback_robot(VirtualClock(), TABLETOP_PANDA)
        self.view = LiveView(folder, robot, ABOUT)
        self.requests = RequestFile(folder, lambda _: None, self.time)
        self.driven = BrowserTeleoperator(self.view.pads, HandDrive(TABLETOP_PANDA), self.time)
        self.desk = Desk(folder, self.time)
        self.desk.look()
        self.app = make_app(self.desk, Guard(host, token))

    def close(self) -> None:
        self.desk.close()
        self.requests.close()
        self.view.close("closed")

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], str]:
        """Status, headers and text of one answer."""
        messages = self._run(_scope("http", path, headers, method=method), [{"type": "http.request", "body": body}])
        begun = messages[0]
        text = b"".join(message.get("body", b"") for message in messages[1:]).decode(errors="replace")
        return begun["status"], {name.decode(): value.decode() for name, value in begun["headers"]}, text

    def open_live(self, **headers: str) -> tuple[str, int | None]:
        """What becomes of a page that opens the WebSocket and leaves again."""
        messages = self._run(
            _scope("websocket", "/live", headers, subprotocols=[]),
            [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}],
        )
        return messages[0]["type"], messages[0].get("code")

    def _run(self, scope: dict[str, Any], incoming: list[dict[str, Any]]) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return incoming.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))
        return sent


def _scope(kind: str, path: str, headers: dict[str, str], **more: Any) -> dict[str, Any]:
    named = {"host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    scheme = "http" if kind == "http" else "ws"
    server = {"server": ("127.0.0.1", 8090), "scheme": scheme, "query_string": b"", "root_path": ""}
    return {
        "type": kind,
        "path": path,
        "raw_path": path.encode(),
        "headers": raw,
        "http_version": "1.1",
        **server,
        **more,
    }


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    made = Console(tmp_path)
    yield made
    made.close()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Console]:
    """One that listens to other machines, and asks for a token."""
    made = Console(tmp_path, "192.168.1.4", TOKEN)
    yield made
    made.close()


# --------------------------------------------------------------------------- the token


@pytest.mark.parametrize(("method", "path"), [("GET", "/page.js"), ("GET", "/healthz"), ("POST", "/stop")])
def test_without_the_token_nothing_is_shown_and_nothing_pressed(guarded: Console, method: str, path: str) -> None:
    assert guarded.ask(method, path)[0] == 401
    assert not (guarded.folder / STOP_FILE).exists()
    assert guarded.open_live() == ("websocket.close", 1008)


def test_who_opens_the_page_without_the_token_is_led_to_where_it_is_asked_for(guarded: Console) -> None:
    status, headers, _ = guarded.ask("GET", "/")
    assert (status, headers["location"]) == (303, "/login")
    assert guarded.ask("GET", "/login")[0] == 200


@pytest.mark.parametrize(
    "wrong", ["", "token=", f"token={TOKEN[:-1]}", f"token={TOKEN}0", "token=\udcff", "token=0" * 9000]
)
def test_a_wrong_token_opens_nothing(guarded: Console, wrong: str) -> None:
    status, headers, _ = guarded.ask("POST", "/login", wrong.encode("utf-8", "surrogatepass"))
    assert status == 401
    assert "set-cookie" not in headers


def test_who_shows_the_token_gets_a_cookie_that_scripts_and_other_sites_do_not_and_may_press_stop(
    guarded: Console,
) -> None:
    status, headers, _ = guarded.ask("POST", "/login", f"token={TOKEN}".encode())
    assert status == 303
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    session = cookie.partition(";")[0]
    assert guarded.ask("GET", "/", cookie=session)[0] == 200
    assert guarded.ask("POST", "/stop", cookie=session)[0] == 200
    assert (guarded.folder / STOP_FILE).read_bytes() == b"1"
    assert guarded.open_live(cookie=session)[0] == "websocket.accept"


@pytest.mark.parametrize("cookie", [f"{COOKIE}=guessed", f"{COOKIE}=", f"{COOKIE}={TOKEN}", "other=1", '"', "\xff"])
def test_a_cookie_that_was_made_up_opens_nothing(guarded: Console, cookie: str) -> None:
    guarded.ask("POST", "/login", f"token={TOKEN}".encode())
    assert guarded.ask("GET", "/page.js", cookie=cookie)[0] == 401


@pytest.mark.parametrize(
    ("shown", "status"), [(f"Bearer {TOKEN}", 200), (f"Bearer {TOKEN}x", 401), (f"Basic {TOKEN}", 401), (TOKEN, 401)]
)
def test_programs_show_the_token_in_a_header(guarded: Console, shown: str, status: int) -> None:
    assert guarded.ask("GET", "/healthz", authorization=shown)[0] == status


def test_the_oldest_session_ends_where_there_are_too_many() -> None:
    guard = Guard("192.168.1.4", TOKEN)
    sessions = [guard.enter(TOKEN) for _ in range(MAX_SESSIONS + 1)]
    assert len(set(sessions)) == MAX_SESSIONS + 1
    assert len(guard._sessions) == MAX_SESSIONS
    assert sessions[0] not in guard._sessions
    assert sessions[-1] in guard._sessions


# --------------------------------------------------------------------------- pages of others


@pytest.mark.parametrize(
    "origin", ["https://elsewhere.example", "http://127.0.0.1:9999", "null", f"http://{HOST}.evil.example"]
)
def test_a_page_of_another_site_operates_nothing(console: Console, origin: str) -> None:
    for path in ("/stop", "/login"):
        assert console.ask("POST", path, origin=origin)[0] == 403
    assert console.open_live(origin=origin) == ("websocket.close", 1008)
    assert not (console.folder / STOP_FILE).exists()


def test_the_consoles_own_page_and_what_is_no_page_may_press_stop_and_let_it_up(console: Console) -> None:
    assert console.ask("POST", "/stop", origin=f"http://{HOST}")[0] == 200
    assert (console.folder / STOP_FILE).read_bytes() == b"1"
    assert json.loads(console.ask("POST", "/stop", b"release")[2]) == {"pressed": False}
    assert json.loads(console.ask("POST", "/stop", b"releaze")[2]) == {"pressed": True}, "in doubt it is a press"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8090", "127.0.0.1.evil.example", "192.168.1.4", "[", ""]
)
def test_a_console_of_this_machine_answers_to_its_own_name_alone(console: Console, host: str) -> None:
    assert console.ask("GET", "/", host=host)[0] == 403
    assert console.open_live(host=host) == ("websocket.close", 1008)


@pytest.mark.parametrize("host", ["localhost:8090", "127.0.0.1:8090", "[::1]:8090"])
def test_a_console_of_this_machine_answers_to_each_of_its_names(console: Console, host: str) -> None:
    assert console.ask("GET", "/", host=host)[0] == 200


def test_every_answer_forbids_frames_scripts_of_others_and_keeping_it(console: Console, guarded: Console) -> None:
    for one, path in ((console, "/"), (guarded, "/page.js")):
        headers = one.ask("GET", path)[1]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


# --------------------------------------------------------------------------- one driver at a time


def test_one_page_drives_at_a_time_and_the_other_is_told(console: Console) -> None:
    desk, first, second = console.desk, object(), object()
    desk.ask(Request(Verb.TAKE_OVER), first)
    desk.drive({**PUSH, "seen": desk.number}, first)
    assert console.driven.is_held
    with pytest.raises(ConfigError, match="another page drives: take over first"):
        desk.drive({**PUSH, "seen": desk.number}, second)
    desk.ask(Request(Verb.TAKE_OVER), second)
    with pytest.raises(ConfigError, match="another page drives"):
        desk.drive({**PUSH, "seen": desk.number}, first)
    desk.drive({**PUSH, "seen": desk.number}, second)
    assert desk.driver is second
    assert [request.verb for request in console.requests.take()] == [Verb.TAKE_OVER, Verb.TAKE_OVER]


def test_pads_are_let_go_when_their_page_leaves(console: Console) -> None:
    page = object()
    console.desk.ask(Request(Verb.TAKE_OVER), page)
    console.desk.drive({**PUSH, "seen": console.desk.number}, page)
    assert console.driven.is_held
    console.desk.leave(page)
    assert not console.driven.is_held
    assert console.desk.driver is None


def test_pads_are_let_go_when_their_page_says_nothing_any_more(console: Console) -> None:
    page = object()
    console.desk.ask(Request(Verb.TAKE_OVER), page)
    console.desk.drive({**PUSH, "seen": console.desk.number}, page)
    console.time.now_s += PADS_REST_S + 0.01
    console.desk.look()
    assert not console.driven.is_held


@pytest.mark.parametrize("seen", [None, -1, "1", True])
def test_a_page_that_does_not_say_what_it_has_seen_does_not_drive(console: Console, seen: object) -> None:
    page = object()
    console.desk.number = 10
    console.desk.look()
    console.desk.ask(Request(Verb.TAKE_OVER), page)
    with pytest.raises(ConfigError, match="too slow to drive"):
        console.desk.drive({**PUSH, "seen": seen}, page)
    assert not console.driven.is_held


def test_a_page_that_is_behind_does_not_drive(console: Console) -> None:
    page, seen = object(), console.desk.number
    console.desk.ask(Request(Verb.TAKE_OVER), page)
    console.time.now_s += MAX_ECHO_S + 0.1
    console.desk.look()
    with pytest.raises(ConfigError, match=r"0\.5 s behind: too slow to drive"):
        console.desk.drive({**PUSH, "seen": seen}, page)
    assert not console.driven.is_held


@pytest.mark.parametrize("pads", [None, [], {"x": float("nan")}, {"x": True}, {"held": 1}, {"x": "1"}])
def test_what_is_no_pads_drives_nothing(console: Console, pads: object) -> None:
    page = object()
    console.desk.ask(Request(Verb.TAKE_OVER), page)
    with pytest.raises(WireError):
        console.desk.drive(pads, page)


def test_nobody_is_asked_where_no_run_goes_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.look()
    with pytest.raises(ConfigError, match="no run goes on"):
        desk.ask(Request(Verb.TAKE_OVER), object())
    assert desk.is_stop_pressed is None
    desk.press_stop(True)
    assert desk.is_stop_pressed, "a run that begins now does not move"


# --------------------------------------------------------------------------- where it listens


@pytest.mark.parametrize("shows", [(), ("token",), ("tls",)])
def test_beyond_this_machine_it_does_not_start_without_token_and_certificate(
    shows: tuple[str, ...], tmp_path: Path, token_file: Path, certificate: tuple[Path, Path]
) -> None:
    config = ConsoleConfig(tmp_path / "run", host="0.0.0.0", port=0)
    if "token" in shows:
        config.token_file = token_file
    if "tls" in shows:
        config.tls_cert, config.tls_key = certificate
    with pytest.raises(ConfigError, match=r"host=0\.0\.0\.0 is reached from other machines"):
        serve(config)


def test_half_a_certificate_is_none(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    for name, file in zip(("tls_cert", "tls_key"), certificate, strict=True):
        config = ConsoleConfig(tmp_path, port=0)
        setattr(config, name, file)
        with pytest.raises(ConfigError, match="both tls_cert= and tls_key="):
            serve(config)
    swapped = ConsoleConfig(tmp_path, port=0, tls_cert=certificate[1], tls_key=certificate[0])
    with pytest.raises(ConfigError, match="no certificate and its key"):
        serve(swapped)


def test_over_tls_the_token_is_asked_for_and_its_cookie_stays_with_tls(
    tmp_path: Path, token_file: Path, certificate: tuple[Path, Path]
) -> None:
    pytest.importorskip("uvicorn")
    cert, key = certificate
    words = [f"run={tmp_path}", "port=0", f"token_file={token_file}", f"tls_cert={cert}", f"tls_key={key}"]
    command = [sys.executable, "-m", "vla", "console", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = next(line for line in process.stdout if "https://" in line).split()[-1]
            trusted = ssl.create_default_context(cafile=str(cert))
            assert _asked(f"{address}page.js", trusted)[0] == 401
            assert _asked(f"{address}login", trusted, b"token=wrong")[0] == 401
            status, cookie = _asked(f"{address}login", trusted, f"token={TOKEN}".encode())
            assert status == 303
            assert "Secure" in cookie
            assert _asked(f"{address}page.js", trusted, cookie=cookie.partition(";")[0])[0] == 200
            with pytest.raises(urllib.error.URLError):
                _asked(address, ssl.create_default_context())
        finally:
            process.terminate()
            process.communicate(timeout=60)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        """Stay, and tell of it."""


def _asked(url: str, trusted: ssl.SSLContext, body: bytes | None = None, cookie: str = "") -> tuple[int, str]:
    """Status, and the cookie that was set."""
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=trusted), _NoRedirect)
    request = urllib.request.Request(url, body, {"Cookie": cookie} if cookie else {})
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, answer.headers.get("set-cookie", "")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("set-cookie", "")
