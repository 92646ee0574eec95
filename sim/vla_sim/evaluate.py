"""`vla eval`: a policy in closed loop, measured, with its controls; a report as JSON, HTML and videos.

    config ─► runs: the policy, then each control ─► workers ─► results ─► report.json, report.html
                                                       └─► a few again, filmed ─► videos/*.mp4

An episode's outcome depends on its spec and the policy alone: not on `workers`, `batch`, or the order of things.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.progress import Progress

from vla import cli
from vla.interfaces import Policy
from vla.progress import told
from vla_policies.rollout import PredictCall, RolloutResult
from vla_sim import provenance
from vla_sim.attribution import stages_tree
from vla_sim.calibration import calibration
from vla_sim.episode_list import with_facts
from vla_sim.evaluation_plan import (
    EvalConfig,
    Run,
    check_config,
    check_contamination,
    check_peeking,
    checkpoint_hash,
    config_hash,
    make_policy,
)
from vla_sim.filmed import Filmed, film_again, filmed_elsewhere
from vla_sim.gym_suite.suite import with_mapping
from vla_sim.jobs import JobRunner, LatencyJob, Outcome
from vla_sim.launching.launcher import Launcher, launched_pool
from vla_sim.launching.slurm import run_jobs
from vla_sim.progress import count_outcomes, evaluation_progress
from vla_sim.report import print_table, write_report
from vla_sim.resuming.carrying import carry_out, guard
from vla_sim.resuming.journal import Journal, open_journal
from vla_sim.resuming.shards import JOURNAL, Shard, journals_in
from vla_sim.scores import latency, scores, seam_jumps
from vla_sim.steps_completed import steps_tree
from vla_sim.stopping import Stop, stop_when_sure
from vla_sim.suites import staged, suite
from vla_sim.wall_clock import Clock, wall_tree
from vla_sim.workers import Pool
from vla_sim.worlds.engines import Engines

EXIT_OK, EXIT_EPISODE_ERRORS = 0, 3


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """All that came of an evaluation."""

    report: dict[str, Any]
    """The content of report.json."""
    films: dict[str, bytes]
    """MP4s by file name."""
    traces: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """What was decided in filmed episodes, by file name."""

    @property
    def exit_status(self) -> int:
        runs = [self.report, *self.report["controls"].values()]
        return EXIT_EPISODE_ERRORS if any(run["errors"] for run in runs) else EXIT_OK


def main(arguments: list[str]) -> int:
    """Run `vla eval`."""
    return cli.run("eval", EvalConfig, run, arguments)


def run(config: EvalConfig) -> int:
    """Evaluate, write the report, print the table; the exit status."""
    if config.shard is not None:
        return _run_shard(config, Shard.parse(config.shard))
    if config.launcher is Launcher.SLURM:
        config = _in_jobs(config)
    evaluation = evaluate(config, keep=True)
    write_report(config.out, evaluation.report, evaluation.films, evaluation.traces)
    print_table(evaluation.report, config.out)
    return evaluation.exit_status


def evaluate(config: EvalConfig, *, keep: bool = False) -> Evaluation:
    """Measure a policy.

    Args:
        keep: whether to keep outcomes in `config.out` as they come, and to go on from those that are there; otherwise
            nothing is written.

    Raises:
        ConfigError: if a name or number of the configuration does not fit.
        CheckpointError, EmbodimentMismatch: if the policy cannot be loaded for this robot.
    """
    begin = time.monotonic()
    asked = _with_mapping(config)
    config = _with_engines(asked)
    main_run, *controls = check_config(config)
    contamination = check_contamination(config, [main_run, *controls])
    chosen = suite(config.suite)
    with (
        _journal(config, JOURNAL) if keep else contextlib.nullcontext() as journal,
        _pool(config, [main_run, *controls]) as pool,
        told(evaluation_progress()) as progress,
    ):
        outcomes, calls, stop = _measure(config, main_run, pool, progress, journal)
        results = [outcome.result for outcome in outcomes]
        main_run = dataclasses.replace(main_run, specs=tuple(result.spec for result in results))
        episodes_s = time.monotonic() - begin
        controlled = [(run, [o.result for o in _carry_out(run, pool, progress, journal)[0]]) for run in controls]
        single_calls = [
            c for c in pool.run(LatencyJob(config.policy), main_run.specs[:1]) if isinstance(c, PredictCall)
        ]
        filmed = _film(config, main_run, results, pool, progress)
        workers = pool.workers
    scored = scores(results)
    report = {
        "policy": config.policy,
        "suite": chosen.name,
        "seed": config.seed,
        **scored,
        "episodes": with_facts(scored["episodes"], outcomes),
        **chosen.summarise(results),
        "stages": stages_tree(results, [outcome.progress for outcome in outcomes]),
        "steps": steps_tree(results, [outcome.progress for outcome in outcomes]),
        "calibration": calibration(results, [outcome.entropy for outcome in outcomes]),
        "stopped": None if stop is None else stop.to_json(),
        "contamination": contamination,
        "peeks": check_peeking(config, main_run),
        "controls": {run.name: {"policy": run.policy, **scores(found)} for run, found in controlled},
        "seams": seam_jumps(results, chosen.embodiment),
        "latency_ms": latency(single_calls),
        "latency_batched_ms": latency(calls),
        "videos": filmed.videos,
        "explained": filmed.explained,
        "repeated": {
            "n": len(filmed.outcomes),
            "same": sum(is_same(outcome.result, results[outcome.index]) for outcome in filmed.outcomes),
        },
        "workers": workers,
        "seconds": {
            "episodes": round(episodes_s, 1),
            "total": round(time.monotonic() - begin, 1),
            "episodes_done_before": 0 if journal is None else journal.num_recalled,
        },
        "versions": provenance.versions(chosen.packages),
        "hashes": {"checkpoint": checkpoint_hash(config.policy), "config": config_hash(asked)},
        "hardware": provenance.hardware(),
        "render": provenance.render_settings(),
        "execution": cli.resolved(main_run.execution),
        "wall_clock": _kept_time(main_run, outcomes, chosen.embodiment.control_hz),
        "config": cli.resolved(asked),
    }
    return Evaluation(report, filmed.films, filmed.traces)


# --------------------------------------------------------------------------- doing it


def _pool(config: EvalConfig, runs: Sequence[Run]) -> contextlib.AbstractContextManager[Pool]:
    most = max(len(run.specs) for run in runs)
    if config.clock is Clock.WALL:
        make = functools.partial(make_runner, 1, config.suite)
        return launched_pool(config.launcher, make, config.workers or 1, most, config.ray)
    batch = min(config.batch, -(-most // min(config.workers or os.cpu_count() or 1, most)))
    make = functools.partial(make_runner, batch, config.suite)
    return launched_pool(config.launcher, make, config.workers, most, config.ray)


def _with_mapping(config: EvalConfig) -> EvalConfig:
    """The same with a suite whose name says its mapping."""
    return dataclasses.replace(config, suite=with_mapping(config.suite, config.mapping))


def _with_engines(config: EvalConfig) -> EvalConfig:
    """The same with a suite whose name says its engines."""
    return dataclasses.replace(config, suite=staged(config.suite, Engines(config.engine, config.pictures)))


def make_runner(batch: int, suite_name: str = "tabletop") -> JobRunner:
    """What a worker process works with."""
    environments = [suite(suite_name).make_environment() for _ in range(batch)]

    def make(name: str, batch_size: int | None) -> Policy:
        return make_policy(name, environments, batch_size, suite_name=suite_name)

    return JobRunner(environments, make)


@contextlib.contextmanager
def _journal(config: EvalConfig, name: str) -> Iterator[Journal]:
    """The outcomes in the folder of the report, and those of the folders to merge."""
    own = config.out / name
    found = [path for folder in (config.out, *map(Path, config.merge)) for path in journals_in(folder)]
    others = [path for path in found if path.resolve() != own.resolve()] if config.shard is None else []
    with open_journal(own, guard(config.suite), others, anew=not config.resume) as journal:
        for note in journal.notes:
            print(note, file=sys.stderr)
        yield journal


def _run_shard(config: EvalConfig, shard: Shard) -> int:
    """Carry out a share of the episodes of every run, keep the outcomes, tell how many; the exit status."""
    config = _with_engines(_with_mapping(config))
    runs = [dataclasses.replace(run, specs=shard.of_all(run.specs)) for run in check_config(config)]
    runs = [run for run in runs if run.specs]
    if not runs:
        print(f"shard {config.shard} has no episodes")
        return EXIT_OK
    with (
        _journal(config, shard.file_name) as journal,
        _pool(config, runs) as pool,
        told(evaluation_progress()) as progress,
    ):
        found = [outcome for run in runs for outcome in _carry_out(run, pool, progress, journal)[0]]
    errors = sum(outcome.result.error is not None for outcome in found)
    print(
        f"shard {config.shard}: {len(found) - errors} episodes are in {config.out / shard.file_name}, {errors} errors"
    )
    print("when all shards are done, the same command without shard makes the report")
    return EXIT_EPISODE_ERRORS if errors else EXIT_OK


def _in_jobs(config: EvalConfig) -> EvalConfig:
    """Carry out all episodes in jobs of a queue; what is left to be done here, which is to make the report of them.

    Raises:
        ConfigError: if the configuration does not fit, or a job failed.
    """
    check_config(config)
    overrides = cli.overrides_of(cli.resolved(config), without=("launcher", "slurm", "shard"))
    shares = [[*overrides, f"shard={number}/{config.slurm.jobs}"] for number in range(1, config.slurm.jobs + 1)]
    run_jobs("eval", shares, config.out / "slurm", config.slurm)
    return dataclasses.replace(config, resume=True)


def _measure(
    config: EvalConfig, run: Run, pool: Pool, progress: Progress, journal: Journal | None
) -> tuple[list[Outcome], list[PredictCall], Stop | None]:
    """The main run, whole or until it is sure enough; outcomes by task, then seed."""
    if config.until is None:
        return *_carry_out(run, pool, progress, journal), None
    calls: list[PredictCall] = []

    def run_block(first: int, end: int) -> list[Outcome]:
        specs = tuple(spec for spec in run.specs if first <= spec.seed - config.seed < end)
        block = dataclasses.replace(run, name=f"{run.name} {first} to {end - 1}", specs=specs)
        found, more = _carry_out(block, pool, progress, journal)
        calls.extend(more)
        return found

    found, stop = stop_when_sure(
        run_block,
        lambda outcome: None if outcome.result.error else outcome.result.success,
        episodes=config.episodes,
        until=config.until,
    )
    by_spec = {outcome.result.spec: outcome for outcome in found}
    ordered = [by_spec[spec] for spec in run.specs if spec in by_spec]
    return [dataclasses.replace(outcome, index=index) for index, outcome in enumerate(ordered)], calls, stop


def _carry_out(
    run: Run, pool: Pool, progress: Progress, journal: Journal | None
) -> tuple[list[Outcome], list[PredictCall]]:
    """The outcomes of a run, in the order of its specs, and the predict calls that were made for it now."""
    messages = list(count_outcomes(carry_out(run, pool, journal), run.name, len(run.specs), progress))
    calls = [message for message in messages if isinstance(message, PredictCall)]
    return _in_order(messages), calls


def _kept_time(run: Run, outcomes: Sequence[Outcome], control_hz: float) -> dict[str, Any] | None:
    """How the main run kept time; `None` if no time passed while the policy computed."""
    if run.wall is None:
        return None
    stats = [outcome.wall for outcome in outcomes if outcome.wall is not None]
    return wall_tree(stats, control_hz=control_hz, delay_s=run.wall.delay_s)


def _film(config: EvalConfig, run: Run, results: Sequence[RolloutResult], pool: Pool, progress: Progress) -> Filmed:
    """Some episodes once more, filmed; none that went by the clock, for they would not be the same again."""
    chosen = set(worth_filming(results, config.videos, config.failure_videos))
    indices = sorted(chosen | filmed_elsewhere(config.film_as_in, results)) if run.wall is None else []
    return film_again(config, run, results, indices, pool, progress)


def worth_filming(results: Sequence[RolloutResult], each: int, failures: int) -> list[int]:
    """Which results to film: the first `each` of every task, and up to `failures` failures, from the tasks in turn.

    Episodes that ended in errors are left alone: what broke a process once would break it again.
    """
    if each == 0:
        return []
    by_task: dict[str, list[int]] = {}
    for index, result in enumerate(results):
        if result.error is None:
            by_task.setdefault(result.spec.task, []).append(index)
    first = {index for indices in by_task.values() for index in indices[:each]}
    failed = [[index for index in indices if not results[index].success] for indices in by_task.values()]
    turns = sorted((turn, index) for indices in failed for turn, index in enumerate(indices))
    return sorted(first | {index for _, index in turns[:failures]})


def is_same(one: RolloutResult, other: RolloutResult) -> bool:
    """Whether an episode that was run again went as before."""
    return (one.success, one.steps, one.error) == (other.success, other.steps, other.error)


def _in_order(messages: Iterable[object]) -> list[Outcome]:
    return sorted((m for m in messages if isinstance(m, Outcome)), key=lambda outcome: outcome.index)
