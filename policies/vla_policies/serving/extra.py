"""The packages of the extra `serve`, which only those who serve or ask a server need."""

from __future__ import annotations

import importlib.util

from vla.errors import ConfigError

PACKAGES = ("msgpack", "prometheus_client", "websockets")
INSTALL_LINE = "uv pip install 'vla-stack[serve]'"


def require_installed() -> None:
    """Return if the extra is installed.

    Raises:
        ConfigError: naming what is not, and the line that installs it.
    """
    absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise ConfigError(f"serving needs {', '.join(absent)}, which is not installed: {INSTALL_LINE}")
