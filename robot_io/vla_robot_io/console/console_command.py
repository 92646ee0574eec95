"""`vla console`: a local web page beside a run: cameras, plots, who has the arm and why, and a stop button.

The console is a process of its own. It reads what the run shows in memory, and presses a file to stop it: a page that
is slow or dead cannot slow a run down, nor can a run that hangs keep the button from being pressed. Not safety-rated.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from vla import cli
from vla.errors import ConfigError
from vla_policies.serving.access import read_token, require_guarded, tls_context
from vla_robot_io.reasons import NOT_SAFETY_RATED

PACKAGES = ("starlette", "uvicorn", "websockets")
INSTALL_LINE = "uv pip install 'vla-stack[console]'"


@dataclasses.dataclass
class ConsoleConfig:
    """Show a run on a local web page, and let an operator hold, stop, take over and record.

    Nothing here is safety-rated. The stop button presses a file that the arm's own process looks at; it is no
    substitute for the arm's own emergency stop, which belongs in your hand.
    """

    run: Path = MISSING
    """The folder of a run of `vla deploy` or `vla teleop`; it may begin later."""
    host: str = "127.0.0.1"
    """Where to listen; beyond this machine, only with a token and TLS."""
    port: int = 8090
    """Where to listen; 0 takes a free one, and says which."""
    token_file: Path | None = None
    """File with the token that whoever opens the page must show; its owner alone may read it."""
    tls_cert: Path | None = None
    """Certificate of this machine, PEM."""
    tls_key: Path | None = None
    """The certificate's private key, PEM."""


def main(arguments: list[str]) -> int:
    """Run `vla console`."""
    return cli.run("console", ConsoleConfig, serve, arguments)


def require_installed() -> None:
    """Return if the extra is installed.

    Raises:
        ConfigError: naming what is not, and the line that installs it.
    """
    absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise ConfigError(f"the console needs {', '.join(absent)}, which is not installed: {INSTALL_LINE}")


def serve(config: ConsoleConfig) -> None:
    """Serve the page until interrupted.

    Raises:
        ConfigError: if it may not listen there, or the extra is not installed.
    """
    token = None if config.token_file is None else read_token(config.token_file)
    if (config.tls_cert is None) != (config.tls_key is None):
        raise ConfigError("TLS needs both tls_cert= and tls_key=")
    if config.tls_cert is not None and config.tls_key is not None:
        tls_context(config.tls_cert, config.tls_key)
    require_guarded(config.host, has_token=token is not None, has_tls=config.tls_cert is not None)
    require_installed()
    print(NOT_SAFETY_RATED, flush=True)
    _listen(config, token)


def _listen(config: ConsoleConfig, token: str | None) -> None:
    import uvicorn

    from vla_robot_io.console.app import MAX_MESSAGE_BYTES, make_app
    from vla_robot_io.console.desk import Desk
    from vla_robot_io.console.guard import Guard

    app = make_app(Desk(config.run), Guard(config.host, token))
    tls: dict[str, Any] = {"ssl_certfile": config.tls_cert, "ssl_keyfile": config.tls_key} if config.tls_cert else {}
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=config.host,
            port=config.port,
            ws="websockets-sansio",
            ws_max_size=2 * MAX_MESSAGE_BYTES,
            ws_ping_interval=5.0,
            ws_ping_timeout=5.0,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,
            limit_concurrency=64,
            log_level=logging.WARNING,
            server_header=False,
            access_log=False,
            **tls,
        )
    )
    scheme = "https" if tls else "http"
    sockets = [server.config.bind_socket()]
    sockets[0].listen()
    print(f"console: {scheme}://{config.host}:{sockets[0].getsockname()[1]}/", flush=True)
    server.run(sockets=sockets)
