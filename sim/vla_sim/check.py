"""`vla check`: try out in a suite what its mapping declares: gripper, axes, rate; and in recordings, the gripper."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vla import cli
from vla.embodiment import require_same_embodiment
from vla.errors import ConfigError, unknown
from vla.files import write_atomically
from vla.interfaces import EpisodeSpec
from vla_datasets.store import EpisodeStore
from vla_sim.conventions import (
    Finding,
    recorded_conventions,
    require_conventions,
    rest,
    try_conventions,
)
from vla_sim.gym_suite.suite import with_mapping
from vla_sim.suites import Suite, suite

_log = logging.getLogger(__name__)

EXIT_OK, EXIT_FAULTS = 0, 1
_TRIED_TASKS = 4
"""Before an evaluation; a mapping is the same for all of them."""
_PACED_STEPS = 20


@dataclasses.dataclass
class CheckSuiteConfig:
    """Try out what a suite declares: which way the gripper opens, which way the axes point, how long a step lasts.

    The exit status is 0 if all that can be told holds, and 1 if not.

    Example: vla check suite=tabletop
    Example: vla check suite=gym:gym_aloha/AlohaTransferCube-v0
    """

    suite: str = "tabletop"
    """Which suite, as for `vla eval`."""
    mapping: Path | None = None
    """What the numbers of gym:ENV_ID mean, if the mapping is not one that is shipped."""
    tasks: list[str] = dataclasses.field(default_factory=list)
    """In which tasks; the suite's first if empty."""
    data: list[str] = dataclasses.field(default_factory=list)
    """Episode stores of the suite's embodiment: whether their gripper opens as the suite's does."""
    seed: int = 0
    """Of the episode in which it is tried."""
    json: Path | None = None
    """A file to write what was found into."""


def main(arguments: Sequence[str]) -> int:
    """Run `vla check`; the exit status."""
    return cli.run("check", CheckSuiteConfig, run, arguments)


def run(config: CheckSuiteConfig) -> int:
    """Try it out, print and write what was found; 0 if nothing is at fault.

    Raises:
        ConfigError: if there is no such suite or task, or a package is missing.
        StoreError, EmbodimentMismatch: if a store cannot be read, or is of another robot.
    """
    chosen = suite(with_mapping(config.suite, config.mapping))
    for task in config.tasks:
        if task not in chosen.known_tasks:
            raise unknown("task", task, chosen.known_tasks)
    chosen.require()
    specs = [EpisodeSpec(task, config.seed) for task in config.tasks or chosen.tasks[:1]]
    found = {f"task {spec.task}": findings(chosen, spec) for spec in specs}
    paces = {spec.task: pace(chosen, spec) for spec in specs}
    found |= {f"data {address}": _recorded(chosen, address) for address in config.data}
    _print(chosen, found)
    for task, steps_per_s in paces.items():
        print(f"{task}: {steps_per_s:.3g} steps with all pictures a second of processor time")
    if config.json is not None:
        tree = {name: [finding.to_json() for finding in rows] for name, rows in found.items()}
        config.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(
            config.json, json.dumps({"suite": chosen.name, "found": tree, "steps_per_s": paces}, indent=1) + "\n"
        )
    return EXIT_FAULTS if any(row.verdict.is_fault for rows in found.values() for row in rows) else EXIT_OK


def findings(chosen: Suite, spec: EpisodeSpec) -> list[Finding]:
    """What a suite's conventions do in one episode."""
    chosen.require()
    environment = chosen.make_environment()
    try:
        return try_conventions(environment, spec, chosen.conventions)
    finally:
        environment.close()


def pace(chosen: Suite, spec: EpisodeSpec) -> float:
    """Control steps a second of processor time, every picture of each looked at; at rest."""
    environment = chosen.make_environment()
    try:
        observation = environment.reset(spec)
        dict(observation.images)
        begin = time.process_time()
        for _ in range(_PACED_STEPS):
            observation = environment.step(rest(chosen.embodiment, observation)).observation
            dict(observation.images)
        return _PACED_STEPS / (time.process_time() - begin)
    finally:
        environment.close()


def check_at_start(chosen: Suite, specs: Sequence[EpisodeSpec]) -> None:
    """Return if the environments of others that are to be evaluated do what their mapping declares, task by task.

    Raises:
        ConfigError: naming the suite, the task and what it does instead.
    """
    if not chosen.is_mapped:
        return
    first = {spec.task: spec for spec in reversed(specs)}
    for spec in list(reversed(first.values()))[:_TRIED_TASKS]:
        try:
            found = findings(chosen, spec)
        except ConfigError:
            raise
        except Exception as error:
            # An environment that breaks is an error of each of its episodes, and told there.
            _log.info("conventions of '%s' not tried: %s", spec.task, error)
            continue
        require_conventions(f"the mapping of suite '{chosen.name}', task '{spec.task}',", found)


def _recorded(chosen: Suite, address: str) -> list[Finding]:
    store = EpisodeStore.open(address)
    require_same_embodiment(
        chosen.embodiment, store.embodiment, expected_name=f"suite {chosen.name}", got_name=f"store {address}"
    )
    numbers = [store.numbers(row.id) for row in store.index()]
    return recorded_conventions(
        [(episode["actions"], episode["proprioception"]) for episode in numbers], store.embodiment, chosen.conventions
    )


def _print(chosen: Suite, found: dict[str, list[Finding]]) -> None:
    table = Table(title=f"what {chosen.name} declares, tried out")
    for header in ("where", "convention", "verdict", "measured"):
        table.add_column(header)
    for where, rows in found.items():
        for row in rows:
            table.add_row(where, row.convention, row.verdict.value, row.detail)
    Console().print(table, markup=False)
