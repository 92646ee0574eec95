"""Which mapping a suite's name stands for.

gym:ENV_ID              the shipped mapping that has this environment, and its tasks there
gym:ENV_ID@FILE         a mapping of the user's own: what `suite=gym:ENV_ID mapping=FILE` becomes
robosuite, libero_...   a shipped mapping by the name of its suite
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

from vla.errors import ConfigError, unknown
from vla_sim.gym_suite.libero import SUITES as LIBERO_SUITES
from vla_sim.gym_suite.libero import found_tasks
from vla_sim.gym_suite.mapping import GymMapping, Maker
from vla_sim.gym_suite.mapping_file import load_mapping, shipped_mappings

PREFIX = "gym:"
_AT = "@"


@functools.cache
def named_mappings() -> Mapping[str, GymMapping]:
    """The shipped mappings by every name of a suite: an environment's, or the mapping's own."""
    found: dict[str, GymMapping] = {}
    for mapping in shipped_mappings().values():
        if mapping.maker is Maker.LIBERO and mapping.tasks:
            found |= {name: part(mapping, name) for name in LIBERO_SUITES}
            continue
        if mapping.maker is not Maker.GYMNASIUM:
            found[mapping.name] = mapping
            continue
        found[PREFIX + mapping.name] = mapping
        for environment in dict.fromkeys(task.environment for task in mapping.tasks.values()):
            found[PREFIX + environment] = only(mapping, environment)
    return found


def mapping_of(name: str) -> GymMapping:
    """The mapping that a suite's name stands for.

    Raises:
        ConfigError: if there is none of this name, or the user's file is not valid or has no such environment.
    """
    identity, at, file = name.removeprefix(PREFIX).partition(_AT)
    if at:
        mapping = load_mapping(Path(file))
        return mapping if identity == mapping.name else only(mapping, identity)
    known = named_mappings()
    if name not in known:
        error = unknown("suite", name, known)
        raise ConfigError(f"{error}; for another environment, say what its numbers mean: mapping=FILE")
    mapping = known[name]
    return mapping if mapping.template is None else dataclasses.replace(mapping, tasks=found_tasks(mapping))


def part(mapping: GymMapping, suite: str) -> GymMapping:
    """Those tasks of LIBERO that are of one of its suites."""
    tasks = {name: task for name, task in mapping.tasks.items() if task.environment.startswith(f"{suite}/")}
    return dataclasses.replace(mapping, name=suite, tasks=tasks)


def only(mapping: GymMapping, environment: str) -> GymMapping:
    """A mapping's tasks in one environment.

    Raises:
        ConfigError: if it has none there.
    """
    tasks = {name: task for name, task in mapping.tasks.items() if task.environment == environment}
    if not tasks:
        known = {task.environment for task in mapping.tasks.values()}
        raise unknown(f"environment of mapping '{mapping.name}':", environment, [*known, mapping.name])
    return dataclasses.replace(mapping, name=PREFIX + environment, tasks=tasks)


def with_mapping(suite: str, mapping: Path | None) -> str:
    """The suite's name with the user's own mapping in it; `suite` itself if there is none.

    Raises:
        ConfigError: if the suite is none that takes a mapping.
    """
    if mapping is None:
        return suite
    if not suite.startswith(PREFIX) or _AT in suite:
        raise ConfigError(f"mapping={mapping} goes with suite=gym:ENV_ID, got suite={suite}")
    return f"{suite}{_AT}{mapping.absolute()}"
