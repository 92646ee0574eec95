"""One run of a policy on an arm, from the first look to the summary.

preview, no torque ─► warm up the policy ─► rollout loop ─► hold ─► close the arm ─► close the files
                                                │             ▲
                          Ctrl-C, fault, bug ───┴─────────────┘
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from vla.embodiment import Embodiment
from vla.errors import VlaError
from vla.interfaces import ActionChunk, EpisodeSpec, Observation, Policy, Transition
from vla_policies.chunking import ExecutionConfig
from vla_policies.rollout import RolloutEvents, RolloutResult, rollout
from vla_robot_io.control_loop import ArmEnvironment, StepReport
from vla_robot_io.interrupts import interruptible, uninterrupted
from vla_robot_io.keeping import Keeper
from vla_robot_io.recording import RunRecorder, observation_hash

WARM_UP_PREDICTIONS = 3
"""With the arm still without torque: the first ones are slow, and nobody acts upon them."""
EXIT_OK, EXIT_ERROR, EXIT_INTERRUPTED = 0, 3, 130


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be done, and how long it may take."""

    instruction: str
    seed: int
    seconds: float


class LiveRun:
    """One run; make it, then call `run` once."""

    def __init__(
        self,
        environment: ArmEnvironment,
        policy: Policy,
        recorder: RunRecorder,
        task: Task,
        execution: ExecutionConfig,
        console: Console,
        keeper: Keeper | None = None,
    ) -> None:
        self._keeper = keeper
        self._environment = environment
        self._policy = RecordedPolicy(policy, recorder)
        self._recorder = recorder
        self._task = task
        self._execution = execution
        self._console = console
        self._reports: list[StepReport] = []
        self._warm_up_s = 0.0
        self._mode = environment.mode
        environment.on_step = self._on_report

    def run(self, header: Mapping[str, Any]) -> int:
        """Act, then hold and close everything; the exit status.

        Args:
            header: what the summary begins with.
        """
        began, ended, result, error = datetime.now(UTC), "crashed", None, None
        with interruptible():
            try:
                result = self._act()
                error = result.error
                ended = "error" if error else "success" if result.success else "time"
            except KeyboardInterrupt:
                ended = "interrupted"
            except Exception as caught:
                error = " ".join(f"{type(caught).__name__}: {caught}".split())
                raise
            finally:
                with uninterrupted():
                    self._close(dict(header) | {"began": began.isoformat(), "ended": ended, "error": error}, result)
        return {"error": EXIT_ERROR, "interrupted": EXIT_INTERRUPTED}.get(ended, EXIT_OK)

    # ------------------------------------------------------------------ acting

    def _act(self) -> RolloutResult:
        spec = EpisodeSpec(task="", seed=self._task.seed, instruction=self._task.instruction)
        self._warm_up(self._environment.preview(spec), spec.seed)
        with _progress(self._console) as progress:
            line = progress.add_task("", total=self._task.seconds, mode="", reply="")
            events = RolloutEvents(
                on_reset=lambda _, __, observation: self._on_reset(observation),
                on_step=lambda _, __, transition: self._on_step(transition, progress, line),
            )
            environments = [self._environment]
            # Without a clock no chunk comes too late for the rollout loop, which would end the run: the environment
            # knows what to do with a late action, which is to hold, look again and have a new one predicted.
            (result,) = rollout(self._policy, environments, [spec], self._execution, events=events)
        return result

    def _warm_up(self, observation: Observation, seed: int) -> None:
        begin = time.monotonic()
        self._policy.reset([seed])
        for _ in range(WARM_UP_PREDICTIONS):
            self._policy.warm_up(observation)
        self._warm_up_s = time.monotonic() - begin

    def _on_reset(self, observation: Observation) -> None:
        self._recorder.film(observation.images)
        if self._keeper is not None:
            self._keeper.begin(observation)

    def _on_step(self, transition: Transition, progress: Progress, line: TaskID) -> None:
        self._recorder.film(transition.observation.images)
        if self._keeper is not None:
            self._keeper.step(transition)
        done_s = len(self._reports) * self._environment.embodiment.control_dt_s
        reply = f"policy {1e3 * self._policy.latencies_s[-1]:.0f} ms" if self._policy.latencies_s else ""
        progress.update(line, completed=done_s, mode=self._environment.mode.value, reply=reply)

    def _on_report(self, report: StepReport) -> None:
        self._reports.append(report)
        self._recorder.log("step", chunk=self._policy.num_chunks - 1, **_fields(report))

    # ------------------------------------------------------------------ closing

    def _close(self, summary: Mapping[str, Any], result: RolloutResult | None) -> None:
        """The arm first, whatever becomes of the rest."""
        try:
            self._environment.hold()
        finally:
            self._mode = self._environment.mode
            try:
                self._environment.close()
            finally:
                whole = {**summary, **self._figures(result)}
                whole["kept"] = self._keep(whole["success"])
                self._recorder.finish(whole)
                self._console.print(_in_one_line(whole))

    def _keep(self, success: bool | None) -> dict[str, Any] | None:
        """What became of the run's episode; that it could not be written does not keep the files from being closed."""
        if self._keeper is None:
            return None
        try:
            kept = self._keeper.finish(success)
        except VlaError as error:
            kept = {"episode": None, "error": str(error)}
        told = kept.get("error") or ("discarded" if kept["episode"] is None else f"kept as {kept['episode']}")
        self._console.print(f"episode: {told}", markup=False, soft_wrap=True)
        return kept

    def _figures(self, result: RolloutResult | None) -> dict[str, Any]:
        reports = self._reports
        knows = self._environment.knows_success
        return {
            "success": (result is not None and result.success) if knows else None,
            "steps": len(reports),
            "final_mode": self._mode.value,
            "modes": dict(Counter(report.mode.value for report in reports)),
            "fault": self._environment.fault,
            "reasons": dict(self._environment.trips.counts()),
            "overruns": sum(report.overruns for report in reports),
            "control_hz": {"asked": self._environment.embodiment.control_hz, "achieved": _rate_hz(reports)},
            "latency_ms": {"warm_up": 1e3 * self._warm_up_s, **_percentiles_ms(self._policy.latencies_s)},
        }


class RecordedPolicy:
    """Another policy; its chunks are logged, and the time it takes is kept."""

    def __init__(self, policy: Policy, recorder: RunRecorder) -> None:
        self._policy = policy
        self._recorder = recorder
        self.num_chunks = 0
        self.latencies_s: list[float] = []

    @property
    def embodiment(self) -> Embodiment:
        return self._policy.embodiment

    @property
    def horizon(self) -> int:
        return self._policy.horizon

    def reset(self, seeds: Sequence[int], slots: Sequence[int] | None = None) -> None:
        self._policy.reset(seeds, slots)

    def predict(
        self,
        observations: Sequence[Observation],
        slots: Sequence[int] | None = None,
        committed: Sequence[np.ndarray | None] | None = None,
    ) -> list[ActionChunk]:
        begin = time.monotonic()
        chunks = self._policy.predict(observations, slots, committed)
        self.latencies_s.append(time.monotonic() - begin)
        for observation, chunk in zip(observations, chunks, strict=True):
            self._recorder.log(
                "chunk",
                number=self.num_chunks,
                observed_s=observation.time_s,
                seen=observation_hash(observation),
                latency_s=self.latencies_s[-1],
                fresh=sorted(observation.fresh),
                start_s=chunk.start_s,
                valid_s=chunk.valid_s,
                actions=chunk.actions,
            )
            self.num_chunks += 1
        return chunks

    def warm_up(self, observation: Observation) -> None:
        """Predict for nobody, unlogged."""
        self._policy.predict([observation])


def _fields(report: StepReport) -> dict[str, Any]:
    reasons = [
        {"code": r.code.value, "field": r.field, "value": r.value, "limit": r.limit, "text": r.text}
        for r in report.reasons
    ]
    return {**{field.name: getattr(report, field.name) for field in dataclasses.fields(report)}, "reasons": reasons}


def _rate_hz(reports: Sequence[StepReport]) -> float | None:
    if len(reports) < 2:
        return None
    return (len(reports) - 1) / (reports[-1].began_s - reports[0].began_s)


def _percentiles_ms(seconds: Sequence[float]) -> dict[str, float | int | None]:
    if not seconds:
        return {"n": 0, "p50": None, "p95": None, "p99": None}
    p50, p95, p99 = np.percentile(1e3 * np.array(seconds), [50, 95, 99]).tolist()
    return {"n": len(seconds), "p50": p50, "p95": p95, "p99": p99}


def _progress(console: Console) -> Progress:
    seconds = TextColumn("{task.completed:5.1f} of {task.total:.1f} s")
    return Progress(
        BarColumn(bar_width=30),
        seconds,
        BarColumn(bar_width=30),
        seconds,
        TextColumn("{task.fields[mode]}"),
        TextColumn("{task.fields[reply]}"),
        console=console,
    )


def _in_one_line(summary: Mapping[str, Any]) -> str:
    told = {True: "success", False: "no success", None: "success unknown"}[summary["success"]]
    limits = ", ".join(f"{name} {count}" for name, count in summary["reasons"].items() if count) or "none"
    line = f"{summary['ended']}: {told} after {summary['steps']} steps; limits met: {limits}"
    return f"{line}; {summary['error']}" if summary["error"] else line
