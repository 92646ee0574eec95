"""The packages `ray` and `submitit`, imported on demand."""

from __future__ import annotations

import importlib
from types import ModuleType

from vla.errors import ConfigError

_EXTRAS = {"ray": "ray", "submitit": "slurm"}


def package(name: str) -> ModuleType:
    """The package of this name.

    Raises:
        ConfigError: naming the extra, if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"this launcher needs a package that is not installed ({error.name}): "
            f"pip install 'vla-stack[{_EXTRAS[name]}]'"
        ) from error
