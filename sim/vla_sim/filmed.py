"""Some episodes once more, filmed: what the policy does and, beside some failures, what the expert does there.

indices of the main run ─┬─► the policy again: film, trace, maps of some ─┐
failures among them ─────┴─► the expert, same seeds: film ────────────────┴─► Filmed
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.progress import Progress

from vla.errors import VlaError
from vla.interfaces import EpisodeSpec
from vla_policies.chunking import ExecutionConfig
from vla_policies.rollout import RolloutResult
from vla_sim.comparison import read_report
from vla_sim.evaluation_plan import SCRIPTED, EvalConfig, Run
from vla_sim.explaining import summary
from vla_sim.jobs import Job, Outcome
from vla_sim.progress import count_outcomes
from vla_sim.workers import Pool

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Filmed:
    """What was filmed."""

    outcomes: list[Outcome]
    """Of the policy, with the indices of the main run, in their order."""
    experts: dict[EpisodeSpec, bytes]
    """Films of the expert."""

    @property
    def films(self) -> dict[str, bytes]:
        """MP4s by file name."""
        own = {file_name(o.result.spec): o.film for o in self.outcomes if o.film is not None}
        return own | {file_name(spec, "-expert"): film for spec, film in self.experts.items()}

    @property
    def traces(self) -> dict[str, dict[str, Any]]:
        """What was decided, by file name."""
        return {
            file_name(o.result.spec, kind="json"): o.trace
            for o in self.outcomes
            if o.film is not None and o.trace is not None
        }

    @property
    def videos(self) -> list[dict[str, Any]]:
        """`videos` of the report."""
        return [self._video(outcome) for outcome in self.outcomes if outcome.film is not None]

    @property
    def explained(self) -> dict[str, Any] | None:
        """`explained` of the report: what all maps say together."""
        return summary([frame for tree in self.traces.values() for frame in tree.get("frames", ())])

    def _video(self, outcome: Outcome) -> dict[str, Any]:
        spec = outcome.result.spec
        return {
            "task": spec.task,
            "seed": spec.seed,
            "success": outcome.result.success,
            "file": f"videos/{file_name(spec)}",
            "expert": f"videos/{file_name(spec, '-expert')}" if spec in self.experts else None,
            "trace": None if outcome.trace is None else f"traces/{file_name(spec, kind='json')}",
        }


def file_name(spec: EpisodeSpec, what: str = "", kind: str = "mp4") -> str:
    """Of what belongs to an episode."""
    return f"{spec.task}-{spec.seed}{what}.{kind}"


def film_again(
    config: EvalConfig,
    run: Run,
    results: Sequence[RolloutResult],
    indices: Sequence[int],
    pool: Pool,
    progress: Progress,
) -> Filmed:
    """Film the episodes of these indices."""
    explained = worth_explaining(results, indices, config.explain.episodes)
    plain = Job(run.policy, run.execution, config.film)
    outcomes = [
        dataclasses.replace(outcome, index=chosen[outcome.index])
        for job, chosen in (
            (dataclasses.replace(plain, explain=config.explain), explained),
            (plain, [index for index in indices if index not in explained]),
        )
        for outcome in _run(job, [run.specs[index] for index in chosen], "videos", pool, progress)
    ]
    outcomes.sort(key=lambda outcome: outcome.index)
    failures = [results[index].spec for index in indices if not results[index].success]
    return Filmed(outcomes, _experts(config, failures[: config.expert_videos], pool, progress))


def filmed_elsewhere(folder: Path | None, results: Sequence[RolloutResult]) -> set[int]:
    """The results whose episodes another report has filmed.

    Raises:
        ConfigError, DataError: if there is no such report.
    """
    if folder is None:
        return set()
    filmed = {(video["task"], video["seed"]) for video in read_report(folder)["videos"]}
    return {
        index
        for index, result in enumerate(results)
        if (result.spec.task, result.spec.seed) in filmed and result.error is None
    }


def worth_explaining(results: Sequence[RolloutResult], indices: Sequence[int], count: int) -> list[int]:
    """The first `count` of some results: failures before successes, from the tasks in turn."""
    turns: dict[tuple[bool, str], int] = {}
    ranked: list[tuple[bool, int, int]] = []
    for index in indices:
        kind = (results[index].success, results[index].spec.task)
        turns[kind] = turns.get(kind, -1) + 1
        ranked.append((kind[0], turns[kind], index))
    return sorted(index for *_, index in sorted(ranked)[:count])


def _experts(
    config: EvalConfig, specs: Sequence[EpisodeSpec], pool: Pool, progress: Progress
) -> dict[EpisodeSpec, bytes]:
    if config.policy == SCRIPTED or not specs:
        return {}
    job = Job(SCRIPTED, ExecutionConfig(), config.film)
    try:
        outcomes = list(_run(job, specs, "expert's videos", pool, progress))
    except VlaError as error:
        _log.warning("no film of the expert: %s", error)
        return {}
    return {o.result.spec: o.film for o in outcomes if o.film is not None and o.result.error is None}


def _run(job: Job, specs: Sequence[EpisodeSpec], name: str, pool: Pool, progress: Progress) -> Iterator[Outcome]:
    if not specs:
        return
    for message in count_outcomes(pool.run(job, specs), name, len(specs), progress):
        if isinstance(message, Outcome):
            yield message
