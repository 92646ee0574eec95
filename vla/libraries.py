"""Optional packages, imported when they are asked for, and named with the line that installs them where they lack."""

from __future__ import annotations

import importlib
from types import ModuleType

from vla.errors import ConfigError


def require_library(module: str, *, what: str, extra: str) -> ModuleType:
    """The module of an optional package.

    A package that is there and broken raises what it raises: to install it again may be no help.

    Args:
        module: its import name; with dots, the module inside.
        what: needs it, as whoever reads the message knows it: `rerun=out/look.rrd`.
        extra: of this project, that brings it.

    Raises:
        ConfigError: naming what is not installed, the package or one that it stands on, and the line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{what} needs a package that is not installed ({error.name}): uv pip install 'vla-stack[{extra}]'"
        ) from error
