"""A run's episodes: those that a journal knows, and the others from the workers, kept as they come."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from vla import cli
from vla_sim import provenance
from vla_sim.evaluation_plan import Run, checkpoint_hash
from vla_sim.jobs import Job, Message, Outcome
from vla_sim.resuming.journal import Journal
from vla_sim.suites import suite
from vla_sim.workers import Pool


def guard(suite_name: str) -> dict[str, Any]:
    """All that can change the outcomes of a suite, besides policy, execution and spec."""
    versions = provenance.versions(suite(suite_name).packages)
    del versions["commit"]  # the code itself is hashed, committed or not
    return {
        "suite": suite_name,
        "code": provenance.code_hash(),
        "versions": versions,
        "render": provenance.render_settings(),
    }


def about(run: Run) -> dict[str, Any]:
    """What the outcomes of a run hang on, besides the guard and each spec."""
    return {
        "policy": run.policy,
        "checkpoint": checkpoint_hash(run.policy),
        "execution": cli.resolved(run.execution),
        "wall": None if run.wall is None else dataclasses.asdict(run.wall),
    }


def carry_out(run: Run, pool: Pool, journal: Journal | None) -> Iterator[Message]:
    """One outcome for each spec of a run, in no fixed order, and the predict calls that were really made."""
    told = about(run)
    known = {} if journal is None else _known(run, told, journal)
    yield from known.values()
    missing = [index for index in range(len(run.specs)) if index not in known]
    if not missing:
        return
    job = Job(run.policy, run.execution, wall=run.wall)
    for message in pool.run(job, [run.specs[index] for index in missing]):
        if isinstance(message, Outcome):
            message = dataclasses.replace(message, index=missing[message.index])
            if journal is not None:
                journal.keep(told, message)
        yield message


def _known(run: Run, told: Mapping[str, Any], journal: Journal) -> dict[int, Outcome]:
    found = ((index, journal.recall(told, index, spec)) for index, spec in enumerate(run.specs))
    return {index: outcome for index, outcome in found if outcome is not None}
