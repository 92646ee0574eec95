"""The console's web application: a page, the stop button, and a WebSocket for all else.

GET  /          the page                     POST /stop   presses the stop file, or lets it up; nothing between
GET  /healthz   whether this process lives   WS   /live   standing and pictures out, requests and pads in
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from vla.errors import VlaError, WireError
from vla_robot_io.console.desk import Desk
from vla_robot_io.console.guard import COOKIE, Guard, Guarded
from vla_robot_io.operating.asking import request_of

LOOKS_PER_S = 20.0
MAX_PAGES = 8
MAX_MESSAGE_BYTES = 4096
MAX_BODY_BYTES = 8192
_FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js", "/plots.js": "plots.js"}
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


def make_app(desk: Desk, guard: Guard) -> Starlette:
    """The application of one run's folder."""
    pages = _Pages(desk, guard)
    routes: list[BaseRoute] = [Route(path, _file(name)) for path, name in _FILES.items()]
    routes += [
        Route("/login", pages.login, methods=["GET", "POST"]),
        Route("/stop", pages.stop, methods=["POST"]),
        Route("/healthz", lambda _: JSONResponse({"alive": desk.is_alive})),
        WebSocketRoute("/live", pages.live),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guarded, guard=guard)], lifespan=pages.looking)


def _file(name: str) -> Any:
    async def send(_: HttpRequest) -> Response:
        return _page(name)

    return send


def _page(name: str, status: int = 200) -> Response:
    content = (resources.files("vla_robot_io.console") / name).read_bytes()
    return Response(content, status, media_type=f"{_KINDS[name.rpartition('.')[2]]}; charset=utf-8")


class _Pages:
    """Everyone who has the page open."""

    def __init__(self, desk: Desk, guard: Guard) -> None:
        self._desk, self._guard = desk, guard
        self._num_pages = 0

    @contextlib.asynccontextmanager
    async def looking(self, _: Starlette) -> AsyncIterator[None]:
        """Look at the run, many times a second, as long as the application lives."""
        task = asyncio.create_task(self._look())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            self._desk.close()

    async def _look(self) -> None:
        while True:
            self._desk.look()
            await asyncio.sleep(1.0 / LOOKS_PER_S)

    # ------------------------------------------------------------------ the pages

    async def login(self, request: HttpRequest) -> Response:
        if not self._guard.needs_token:
            return RedirectResponse("/", 303)
        if request.method == "GET":
            return _page("login.html")
        body = await _body(request)
        session = self._guard.enter(body.decode("utf-8", "replace").removeprefix("token=").strip())
        if session is None:
            return _page("login.html", 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, session, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return answer

    async def stop(self, request: HttpRequest) -> Response:
        """Press, unless the body says `release`: in doubt it is a press."""
        try:
            self._desk.press_stop((await _body(request)).strip() != b"release")
        except (VlaError, OSError) as error:
            return JSONResponse({"error": str(error)}, 500)
        return JSONResponse({"pressed": self._desk.is_stop_pressed})

    # ------------------------------------------------------------------ the WebSocket

    async def live(self, socket: WebSocket) -> None:
        if self._num_pages >= MAX_PAGES:
            await socket.close(1013, f"{MAX_PAGES} pages are open already")
            return
        await socket.accept()
        self._num_pages += 1
        show = asyncio.create_task(self._show(socket))
        try:
            await self._hear(socket)
        finally:
            self._num_pages -= 1
            self._desk.leave(socket)
            show.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await show

    async def _show(self, socket: WebSocket) -> None:
        """Send what is newest, as fast as it is taken: who is slow misses what was between."""
        desk, about, sent, pictures = self._desk, None, 0, dict[int, int]()
        while True:
            await asyncio.sleep(0.5 / LOOKS_PER_S)
            if sent == desk.number:
                continue
            sent = desk.number
            if desk.about is not about:
                about, pictures = desk.about, {}
                await socket.send_text(json.dumps({"about": _shown(about)}))
            await socket.send_text(json.dumps(self._standing(socket)))
            for index, (number, picture) in list(desk.pictures.items()):
                if pictures.get(index) != number:
                    pictures[index] = number
                    await socket.send_bytes(bytes([index]) + picture)

    def _standing(self, socket: WebSocket) -> dict[str, Any]:
        desk = self._desk
        driver = None if desk.driver is None else "you" if desk.driver is socket else "another"
        return {
            "number": desk.number,
            "standing": desk.standing,
            "is_alive": desk.is_alive,
            "stop": desk.is_stop_pressed,
            "driver": driver,
        }

    async def _hear(self, socket: WebSocket) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                message = await socket.receive_text()
                try:
                    self._heed(socket, message)
                except VlaError as error:
                    await socket.send_text(json.dumps({"refused": str(error)}))

    def _heed(self, socket: WebSocket, message: str) -> None:
        try:
            tree = json.loads(message) if len(message) <= MAX_MESSAGE_BYTES else None
        except (ValueError, RecursionError):
            tree = None
        match tree:
            case {"ask": dict(asked), **rest} if not rest:
                self._desk.ask(request_of(json.dumps(asked)), socket)
            case {"pads": dict(pads), **rest} if not rest:
                self._desk.drive(pads, socket)
            case _:
                raise WireError('a message is {"ask": ...} or {"pads": ...}')


def _shown(about: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a page is told of the run: nothing of this machine."""
    return None if about is None else {name: value for name, value in about.items() if name not in ("folder", "pid")}


async def _body(request: HttpRequest) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            return b""
    return body
