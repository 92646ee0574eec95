"""From a mapping to the environment it is of: packages are imported here, when an episode begins and not before."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

import gymnasium

from vla.errors import ConfigError
from vla_sim.gym_suite.libero import LiberoTask, require_libero
from vla_sim.gym_suite.mapping import GymMapping, GymTask, Maker
from vla_sim.gym_suite.robosuite_tasks import RobosuiteTask
from vla_sim.gym_suite.simpler import SimplerTask, require_simpler

_NO_TIME_LIMIT = -1
"""Gymnasium's word for it: the mapping's `max_steps` is the only one."""


def require(mapping: GymMapping) -> None:
    """Return if all that the mapping's environments need is there.

    Raises:
        ConfigError: naming what is missing, and how to get it.
    """
    if mapping.maker is Maker.SIMPLER:
        require_simpler(mapping)
    for package in mapping.packages:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise missing(mapping, package) from None
    match mapping.maker:
        case Maker.GYMNASIUM:
            _register(mapping)
            for task in mapping.tasks.values():
                _require_registered(mapping, task)
        case Maker.LIBERO:
            require_libero(mapping)
        case Maker.ROBOSUITE | Maker.SIMPLER:
            pass


def make(mapping: GymMapping, task: GymTask) -> gymnasium.Env[Any, Any]:
    """A task's environment, not begun.

    Raises:
        ConfigError: if a package is not installed, nothing of this name is registered, or it refuses the options.
    """
    try:
        match mapping.maker:
            case Maker.GYMNASIUM:
                _register(mapping)
                return gymnasium.make(
                    task.environment, max_episode_steps=_NO_TIME_LIMIT, disable_env_checker=True, **task.options
                )
            case Maker.ROBOSUITE:
                return RobosuiteTask(task.environment, mapping.embodiment.control_hz, task.options)
            case Maker.LIBERO:
                return LiberoTask(mapping, task)
            case Maker.SIMPLER:
                return SimplerTask(task.environment, task.options)
    except ModuleNotFoundError as error:
        raise missing(mapping, error.name or "a module") from error
    except gymnasium.error.DependencyNotInstalled as error:
        raise missing(mapping, str(error)) from error
    except (gymnasium.error.Error, TypeError) as error:
        raise ConfigError(f"'{task.environment}' of suite '{mapping.name}': {' '.join(str(error).split())}") from error


def missing(mapping: GymMapping, what: str) -> ConfigError:
    """The error for a package that is not installed."""
    return ConfigError(f"suite '{mapping.name}' needs a package that is not installed ({what}): {mapping.install}")


def _register(mapping: GymMapping) -> None:
    if mapping.imports is None:
        return
    try:
        importlib.import_module(mapping.imports)
    except ModuleNotFoundError as error:
        raise missing(mapping, error.name or mapping.imports) from error


def _require_registered(mapping: GymMapping, task: GymTask) -> None:
    try:
        gymnasium.spec(task.environment)
    except gymnasium.error.Error as error:
        raise ConfigError(
            f"no environment '{task.environment}' is registered with Gymnasium "
            f"({' '.join(str(error).split())}); 'import:' in the mapping names the module that registers it"
        ) from None
