"""Who may open the console: everyone on this machine, or whoever shows the token over TLS; and no page of others.

Any web page that the operator has open can send requests to this machine. So the name that a request was sent to must
be this machine's, and its origin, which browsers tell truthfully, must be the console's own.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from vla_policies.serving.access import is_loopback, shows_token

COOKIE = "vla_console"
MAX_SESSIONS = 32
_CHANGES_NOTHING = ("GET", "HEAD")
_OPEN = ("/login", "/page.css")
"""What is shown to those who have yet to say the token."""
SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """Knows the token and who has shown it."""

    def __init__(self, host: str, token: str | None) -> None:
        """Nobody has been let in.

        Args:
            host: that is listened on.
            token: everyone on this machine is let in without one.
        """
        self._is_local = is_loopback(host)
        self._token = token
        self._sessions: list[str] = []

    @property
    def needs_token(self) -> bool:
        return self._token is not None

    def enter(self, token: str) -> str | None:
        """A session for whoever knows the token; the oldest ends where there are too many."""
        if self._token is None or not hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self._token.encode()):
            return None
        session = secrets.token_urlsafe(32)
        self._sessions = [*self._sessions[1 - MAX_SESSIONS :], session]
        return session

    def refusal(self, connection: HTTPConnection) -> tuple[int, str] | None:
        """Why a request is turned away, with HTTP's number for it; None if it is not."""
        headers = connection.headers
        if self._is_local and not _names_this_machine(headers.get("host", "")):
            return 403, "this console answers on this machine alone: open it as localhost or 127.0.0.1"
        is_change = connection.scope["type"] == "websocket" or connection.scope["method"] not in _CHANGES_NOTHING
        if is_change and not _is_own(headers):
            return 403, "a page of another site may not operate an arm"
        if connection.url.path not in _OPEN and not self._is_known(headers):
            return 401, "show the token"
        return None

    def _is_known(self, headers: Headers) -> bool:
        if self._token is None:
            return True
        shown = _cookie(headers.get("cookie", "")).encode()
        known = [hmac.compare_digest(shown, session.encode()) for session in self._sessions]
        return any(known) or shows_token(headers.getlist("authorization"), self._token)


class Guarded:
    """An application behind the guard."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._guard.refusal(HTTPConnection(scope))
        if refusal is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close(1008, refusal[1])
        else:
            is_lost = refusal[0] == 401 and scope["method"] == "GET" and scope["path"] == "/"
            answer = PlainTextResponse("", 303, {"location": "/login"}) if is_lost else _plain(*refusal)
            await answer(scope, receive, _with_headers(send))


def _plain(status: int, text: str) -> PlainTextResponse:
    return PlainTextResponse(text + "\n", status)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await send(message)

    return sending


def _names_this_machine(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _is_own(headers: Headers) -> bool:
    """Whether a request comes from the console's own page, or from no page at all."""
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host", "")


def _cookie(header: str) -> str:
    try:
        cookies = SimpleCookie(header)
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""
