"""A maker's library, imported when it is asked for, and named with the line that installs it where it is absent."""

from __future__ import annotations

import importlib
from types import ModuleType

from vla.errors import ConfigError


def require_library(module: str, *, package: str, extra: str) -> ModuleType:
    """The module of an optional package.

    Args:
        module: its import name.
        package: what it is called in the index.
        extra: of this project, that brings it.

    Raises:
        ConfigError: naming the package and the line that installs it.
    """
    top = module.partition(".")[0]
    try:
        importlib.import_module(top)
    except ModuleNotFoundError as error:
        if error.name != top:
            raise
        raise ConfigError(
            f"this needs the package '{package}', which is not installed: uv pip install 'vla-stack[{extra}]'"
        ) from error
    return importlib.import_module(module)
