"""One run of a policy on an arm, from the first look to the summary.

preview, no torque ─► warm up the policy ─► turns ─► hold ─► close the arm ─► close the files
                                              │        ▲
                        Ctrl-C, fault, bug ───┴────────┘

A turn is the policy's, a human's, or nobody's, as the operator says (`operating/`); the policy's is the one rollout
loop. Without an operator there is one turn, the policy's, and a fault ends the run.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from vla.embodiment import Embodiment
from vla.interfaces import ActionChunk, EpisodeSpec, Observation, Policy
from vla_policies.chunking import ExecutionConfig
from vla_policies.history import Recollection, history_of
from vla_policies.rollout import rollout
from vla_robot_io.control_loop import ArmEnvironment, StepReport
from vla_robot_io.doubts import DoubtConfig
from vla_robot_io.familiarity import Familiarity
from vla_robot_io.interrupts import interruptible, uninterrupted
from vla_robot_io.keeping import Keeper
from vla_robot_io.operating.acting import Acting
from vla_robot_io.operating.live_view import LiveView
from vla_robot_io.operating.operated import Acted, Attendance, OperatedEnvironment
from vla_robot_io.operating.seat import Actor
from vla_robot_io.punctuality import collector_spared
from vla_robot_io.reasons import Reason
from vla_robot_io.recording import RunRecorder, observation_hash
from vla_robot_io.server_watch import ServerWatch

WARM_UP_PREDICTIONS = 3
"""With the arm still without torque: the first ones are slow, and nobody acts upon them."""
FILES_MAY_TAKE_S = 2.0
"""Until then a second Ctrl-C does not keep the files from being closed; the arm is held and closed before."""
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
        policy: Policy | None,
        recorder: RunRecorder,
        task: Task,
        execution: ExecutionConfig,
        console: Console,
        keeper: Keeper | None = None,
        attendance: Attendance | None = None,
        view: LiveView | None = None,
        watch: ServerWatch | None = None,
        familiarity: Familiarity | None = None,
    ) -> None:
        """Nothing is touched yet.

        Args:
            policy: none where a human drives alone.
            keeper: of the run's episodes, if they are kept.
            attendance: who attends; nobody if not given.
            view: what the operator sees, if somebody looks.
            watch: whether the policy's server is still there; not looked at if not given.
            familiarity: whether the policy knows the states that it meets; not looked at if not given.
        """
        self._keeper = keeper
        self._environment = environment
        self._attendance = attendance or Attendance(has_policy=policy is not None)
        self._watch = watch or ServerWatch(None, math.inf)
        self._familiarity = familiarity or Familiarity(None, DoubtConfig())
        self._operated = OperatedEnvironment(
            environment, self._attendance, keeper, self._on_event, policy_objection=self._policy_objection
        )
        self._view = view
        self._policy = None if policy is None else RecordedPolicy(policy, recorder)
        self._acting = Acting(environment.embodiment)
        self._error: str | None = None
        self._show: Callable[[], None] = lambda: None
        self._recorder = recorder
        self._task = task
        self._execution = execution
        self._console = console
        self._reports: list[StepReport] = []
        self._warm_up_s = 0.0
        self._mode = environment.mode
        environment.on_step = self._on_report
        self._operated.on_acted = self._on_acted
        self._operated.on_waited = self._publish

    def run(self, header: Mapping[str, Any]) -> int:
        """Act, then hold and close everything; the exit status.

        Args:
            header: what the summary begins with.
        """
        began, ended, error = datetime.now(UTC), "crashed", None
        with interruptible():
            try:
                self._act()
                error = self._error
                ended = self._ended()
            except KeyboardInterrupt:
                ended = "interrupted"
            except Exception as caught:
                error = " ".join(f"{type(caught).__name__}: {caught}".split())
                raise
            finally:
                self._close(dict(header) | {"began": began.isoformat(), "ended": ended, "error": error})
        return {"error": EXIT_ERROR, "interrupted": EXIT_INTERRUPTED}.get(ended, EXIT_OK)

    def _ended(self) -> str:
        if self._error:
            return "error"
        if self._operated.success:
            return "success"
        return "operator" if self._operated.seat.is_ended else "time"

    # ------------------------------------------------------------------ acting

    def _act(self) -> None:
        spec = EpisodeSpec(task="", seed=self._task.seed, instruction=self._task.instruction)
        observation = self._environment.preview(spec)
        self._familiarity.require(observation.proprioception)
        if self._policy is not None:
            self._warm_up(self._policy, observation, spec.seed)
        with collector_spared(), _progress(self._console) as progress:
            line = progress.add_task("", total=self._task.seconds, mode="", reply="")
            self._show = lambda: self._show_progress(progress, line)
            self._begin(spec)
            while not (self._operated.is_over or self._operated.seat.is_ended or self._error):
                self._trying(lambda: self._turn(spec))

    def _begin(self, spec: EpisodeSpec) -> None:
        """Torque on; an arm of which this fails is nobody's to resume."""
        try:
            observation = self._operated.begin(spec)
        except Exception as error:
            self._error = " ".join(f"{type(error).__name__}: {error}".split())
            return
        self._recorder.film(observation.images)
        if self._keeper is not None:
            self._keeper.begin(observation)
        self._publish()

    def _policy_objection(self) -> Reason | None:
        """Why nothing that the policy asked for may be carried out now; None if it may."""
        return self._watch.objection() or self._familiarity.objection()

    def _turn(self, spec: EpisodeSpec) -> None:
        """A turn of the policy, or one control step of anybody else's."""
        operated = self._operated
        actor = operated.seat.actor
        if self._policy is not None and (
            actor is Actor.POLICY or (self._attendance.is_shadow and actor is Actor.HUMAN)
        ):
            # Without a clock no chunk comes too late for the rollout loop, which would end the run: the environment
            # knows what to do with a late action, which is to hold, look again and have a new one predicted.
            (result,) = rollout(self._policy, [operated], [spec], self._execution)
            if result.error is not None:
                self._in_trouble(result.error)
            return
        operated.listen()
        if operated.is_over:
            return
        if operated.seat.actor is Actor.HUMAN:
            operated.human_step()
        elif operated.seat.actor is Actor.NOBODY:
            operated.wait()

    def _trying(self, act: Callable[[], None]) -> None:
        """Where somebody attends an error is theirs to deal with; else it ends the run."""
        try:
            act()
        except Exception as error:
            self._in_trouble(" ".join(f"{type(error).__name__}: {error}".split()))

    def _in_trouble(self, error: str) -> None:
        if not self._operated.trouble(error):
            self._error = error
        self._publish()

    def _warm_up(self, policy: RecordedPolicy, observation: Observation, seed: int) -> None:
        begin = time.monotonic()
        policy.reset([seed])
        for _ in range(WARM_UP_PREDICTIONS):
            policy.warm_up(observation)
        self._warm_up_s = time.monotonic() - begin

    def _on_acted(self, acted: Acted) -> None:
        self._recorder.film(acted.transition.observation.images)
        self._familiarity.look(acted.transition.observation.proprioception)
        self._acting.add(acted)
        self._show()
        self._publish()

    def _on_report(self, report: StepReport) -> None:
        self._reports.append(report)
        seat, policy = self._operated.seat, self._policy
        actor: dict[str, object] = {"actor": seat.actor} if seat.actor is not Actor.POLICY else {}
        actor |= {"waited": True} if self._operated.is_waiting else {}
        asked = self._operated.policy_action
        shadow = {"policy_action": asked} if seat.actor is Actor.HUMAN and asked is not None else {}
        chunk = -1 if policy is None else policy.num_chunks - 1
        self._recorder.log("step", chunk=chunk, **_fields(report), **actor, **shadow)

    def _on_event(self, kind: str, text: str) -> None:
        self._recorder.log("event", what=kind, text=text, time_s=self._environment.now_s)
        if self._view is not None:
            self._view.tell(kind, text)

    def _show_progress(self, progress: Progress, line: TaskID) -> None:
        done_s = len(self._reports) * self._environment.embodiment.control_dt_s
        reply = f"policy {1e3 * self._latencies_s[-1]:.0f} ms" if self._latencies_s else ""
        progress.update(line, completed=done_s, mode=self._environment.mode.value, reply=reply)

    def _publish(self) -> None:
        """Show the operator how things stand."""
        if self._view is not None:
            seen = self._operated.observation
            images = self._environment.images() if seen is None or self._environment.latched else seen.images
            self._view.publish(self._standing(), images)

    def _standing(self) -> dict[str, Any]:
        """How things stand, for the operator's eyes."""
        environment, seat, seen = self._environment, self._operated.seat, self._operated.observation
        report = self._reports[-1] if self._reports else None
        return {
            "ended": None,
            "mode": environment.mode,
            "actor": seat.actor,
            "why": seat.why,
            "fault": seat.fault,
            "speed": environment.speed,
            "instruction": environment.instruction,
            "acted_s": environment.acted_s,
            "step": len(self._reports),
            "state": None if seen is None else seen.proprioception,
            "command": None if report is None else [*report.command.positions, report.command.gripper_m],
            "asked": None if report is None else report.asked,
            "applied": None if report is None else report.applied,
            "reasons": [] if report is None else [reason.text for reason in report.reasons],
            "chunk": None if self._policy is None else self._policy.last_chunk,
            "policy_ms": 1e3 * self._latencies_s[-1] if self._latencies_s else None,
            "human_share": self._acting.human_share,
            "interventions": self._acting.num_interventions,
            "gap": self._acting.last_gap,
            "recording": None if self._keeper is None else self._keeper.state,
            "episodes": 0 if self._keeper is None else self._keeper.num_episodes,
        }

    @property
    def _latencies_s(self) -> list[float]:
        return [] if self._policy is None else self._policy.latencies_s

    # ------------------------------------------------------------------ closing

    def _close(self, summary: Mapping[str, Any]) -> None:
        """The arm first, whatever becomes of the rest; a second Ctrl-C gives up on files that take their time."""
        try:
            with uninterrupted():
                self._close_arm()
        finally:
            with uninterrupted(FILES_MAY_TAKE_S):
                self._close_files(summary)

    def _close_arm(self) -> None:
        try:
            self._environment.hold()
        finally:
            self._mode = self._environment.mode
            self._environment.close()

    def _close_files(self, summary: Mapping[str, Any]) -> None:
        whole = {**summary, **self._figures()}
        whole["kept"] = self._keep(whole["success"])
        if self._view is not None:
            self._view.close(str(whole["ended"]))
        self._recorder.finish(whole)
        self._console.print(_in_one_line(whole))

    def _keep(self, success: bool | None) -> dict[str, Any] | None:
        """What became of the run's episode; that it could not be written does not keep the files from being closed."""
        if self._keeper is None:
            return None
        kept = self._keeper.finish(success)
        if kept is None:
            return None
        told = kept.get("error") or ("discarded" if kept["episode"] is None else f"kept as {kept['episode']}")
        self._console.print(f"episode: {told}", markup=False, soft_wrap=True)
        return kept

    def _figures(self) -> dict[str, Any]:
        reports = self._reports
        knows = self._environment.knows_success
        return {
            "success": self._operated.success if knows else None,
            "steps": len(reports),
            "final_mode": self._mode.value,
            "modes": dict(Counter(report.mode.value for report in reports)),
            "fault": self._environment.fault,
            "reasons": dict(self._environment.trips.counts()),
            "unusual_states": self._familiarity.shares(),
            "overruns": sum(report.overruns for report in reports),
            "control_hz": {"asked": self._environment.embodiment.control_hz, "achieved": _rate_hz(reports)},
            "latency_ms": {"warm_up": 1e3 * self._warm_up_s, **_percentiles_ms(self._latencies_s)},
            **self._acting.figures(),
        }


class RecordedPolicy:
    """Another policy; its chunks are logged, and the time it takes is kept."""

    def __init__(self, policy: Policy, recorder: RunRecorder) -> None:
        self._policy = policy
        self._recorder = recorder
        self.num_chunks = 0
        self.latencies_s: list[float] = []
        self.last_chunk: np.ndarray | None = None
        """The newest actions, float32 (horizon, action_dim)."""

    @property
    def embodiment(self) -> Embodiment:
        return self._policy.embodiment

    @property
    def horizon(self) -> int:
        return self._policy.horizon

    @property
    def history(self) -> int:
        """See `vla_policies.history`."""
        return history_of(self._policy)

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
            self.last_chunk = chunk.actions
        return chunks

    def warm_up(self, observation: Observation) -> None:
        """Predict for nobody, unlogged."""
        self._policy.predict([Recollection(self.history).with_past(observation)])


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
