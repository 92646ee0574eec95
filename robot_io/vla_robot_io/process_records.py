"""The records that a control loop and the process of its arm exchange: fixed layouts, no pickle.

    orders   runtime ─► arm    the newest plan, and the last request (open, enable, fault, ...)
    pulse    runtime ─► arm    that somebody is there, every 10 ms
    dead_man runtime ─► arm    whether the dead-man input is held, as long as one is needed (`dead_man.py`)
    states   arm ─► runtime    the last tick, what was met since, and, of a simulated robot, how its world looks

Each travels through a `Mailbox`, which checks it; the newest counts, and nobody waits for anybody.
"""

from __future__ import annotations

import enum

import numpy as np

from vla.interfaces import ArmMode, ArmState
from vla_robot_io.envelope import Setpoint
from vla_robot_io.plans import ArmReport, Halt, Plan
from vla_robot_io.reasons import Code, Reason

EVENTS = 32
"""Of the last limits that were met; a runtime looks many times while so many come."""
_TEXT = "S400"
_CODES, _MODES = tuple(Code), tuple(ArmMode)
_NONE = -1


class Verb(enum.IntEnum):
    """What is asked of the arm's process besides plans."""

    NOTHING = 0
    OPEN = 1
    ENABLE = 2
    FAULT = 3
    ACKNOWLEDGE = 4
    CLOSE = 5


def order_type(joints: int) -> np.dtype:
    """Of one order for an arm of so many joints."""
    return np.dtype(
        [
            ("plan", "i8"),
            ("increment", "f8", (joints,)),
            ("gripper_m", "f8"),
            ("ticks", "i8"),
            ("valid_until_s", "f8"),
            ("acknowledged", "i8"),
            ("stands_still", "i1"),
            ("needs_dead_man", "i1"),
            ("verb", "i8"),
            ("request", "i8"),
            ("text", _TEXT),
        ]
    )


def state_type(joints: int, numbers: int) -> np.dtype:
    """Of one state of an arm of so many joints, in a world of so many numbers."""
    j = ("f8", (joints,))
    event = np.dtype(
        [("source", "S16"), ("code", "i1"), ("field", "S32"), ("value", "f8"), ("limit", "f8"), ("text", "S200")]
    )
    return np.dtype(
        [
            ("has_reading", "i1"),
            ("tick", "i8"),
            ("time_s", "f8"),
            ("positions", *j),
            ("velocities", *j),
            ("gripper_m", "f8"),
            ("commanded", *j),
            ("commanded_gripper_m", "f8"),
            ("read_s", "f8"),
            ("device_time_s", "f8"),
            ("sequence", "i8"),
            ("fresh", "i1"),
            ("is_trusted", "i1"),
            ("mode", "i1"),
            ("reference", *j),
            ("reference_gripper_m", "f8"),
            ("command", *j),
            ("command_gripper_m", "f8"),
            ("is_at_rest", "i1"),
            ("plan", "i8"),
            ("ticks_left", "i8"),
            ("overruns", "i8"),
            ("halt", "i1"),
            ("halt_number", "i8"),
            ("halt_text", _TEXT),
            ("has_failure", "i1"),
            ("failure", _TEXT),
            ("has_latched", "i1"),
            ("latched", _TEXT),
            ("request", "i8"),
            ("refusal", "S16"),
            ("refusal_text", _TEXT),
            ("num_events", "i8"),
            ("events", event, (EVENTS,)),
            ("world", "f8", (numbers,)),
        ]
    )


def put_plan(record: np.ndarray, plan: Plan) -> None:
    """Write a plan into an order."""
    record["plan"], record["increment"], record["gripper_m"] = plan.sequence, plan.increment, plan.gripper_m
    record["ticks"], record["valid_until_s"] = plan.ticks, plan.valid_until_s
    record["acknowledged"], record["stands_still"] = plan.acknowledged, plan.stands_still
    record["needs_dead_man"] = plan.needs_dead_man


def plan_of(record: np.ndarray) -> Plan:
    """The plan of an order."""
    return Plan(
        sequence=int(record["plan"]),
        increment=record["increment"].astype(np.float64),
        gripper_m=float(record["gripper_m"]),
        ticks=int(record["ticks"]),
        valid_until_s=float(record["valid_until_s"]),
        acknowledged=int(record["acknowledged"]),
        stands_still=bool(record["stands_still"]),
        needs_dead_man=bool(record["needs_dead_man"]),
    )


def put_report(record: np.ndarray, report: ArmReport) -> None:
    """Write a report into a state."""
    state = report.state
    record["has_reading"], record["tick"], record["time_s"] = 1, report.tick, report.time_s
    record["positions"], record["velocities"] = state.positions, state.velocities
    record["gripper_m"], record["commanded"] = state.gripper_m, state.commanded
    record["commanded_gripper_m"], record["read_s"] = state.commanded_gripper_m, state.time_s
    record["device_time_s"], record["sequence"], record["fresh"] = state.device_time_s, state.sequence, state.fresh
    record["is_trusted"], record["mode"] = report.is_trusted, _MODES.index(report.mode)
    record["reference"], record["reference_gripper_m"] = report.reference.positions, report.reference.gripper_m
    record["command"], record["command_gripper_m"] = report.command.positions, report.command.gripper_m
    record["is_at_rest"], record["plan"] = report.is_at_rest, report.plan
    record["ticks_left"], record["overruns"] = report.ticks_left, report.overruns
    record["halt"] = _NONE if report.halt is None else _CODES.index(report.halt.code)
    record["halt_number"] = 0 if report.halt is None else report.halt.number
    record["halt_text"] = b"" if report.halt is None else report.halt.text.encode()
    put_text(record, "failure", report.failure)


def put_text(record: np.ndarray, name: str, text: str | None) -> None:
    """Write a text that may be none; what is too long is cut."""
    record[f"has_{name}"], record[name] = text is not None, (text or "").encode()


def text_of(record: np.ndarray, name: str) -> str | None:
    """A text that may be none."""
    return record[name].item().decode(errors="replace") if record[f"has_{name}"] else None


def report_of(record: np.ndarray) -> ArmReport:
    """The report of a state that has a reading."""
    mode = _MODES[int(record["mode"])]
    state = ArmState(
        positions=record["positions"].astype(np.float64),
        velocities=record["velocities"].astype(np.float64),
        gripper_m=float(record["gripper_m"]),
        commanded=record["commanded"].astype(np.float64),
        commanded_gripper_m=float(record["commanded_gripper_m"]),
        time_s=float(record["read_s"]),
        device_time_s=float(record["device_time_s"]),
        sequence=int(record["sequence"]),
        mode=mode,
        fresh=bool(record["fresh"]),
        fault=text_of(record, "latched"),
    )
    return ArmReport(
        tick=int(record["tick"]),
        time_s=float(record["time_s"]),
        state=state,
        is_trusted=bool(record["is_trusted"]),
        mode=mode,
        reference=Setpoint(record["reference"].astype(np.float64), float(record["reference_gripper_m"])),
        command=Setpoint(record["command"].astype(np.float64), float(record["command_gripper_m"])),
        is_at_rest=bool(record["is_at_rest"]),
        plan=int(record["plan"]),
        ticks_left=int(record["ticks_left"]),
        overruns=int(record["overruns"]),
        halt=_halt(record),
        failure=text_of(record, "failure"),
    )


def _halt(record: np.ndarray) -> Halt | None:
    if record["halt"] == _NONE:
        return None
    text = record["halt_text"].item().decode(errors="replace")
    return Halt(_CODES[int(record["halt"])], text, int(record["halt_number"]))


def mode_of(record: np.ndarray) -> ArmMode:
    """The arm's mode in a state."""
    return _MODES[int(record["mode"])]


def mode_number(mode: ArmMode) -> int:
    """As states hold it."""
    return _MODES.index(mode)


def put_event(record: np.ndarray, source: str, reason: Reason | None, text: str = "") -> None:
    """Add a limit that was met, or, without a reason, what the arm itself said."""
    event = record["events"][int(record["num_events"]) % EVENTS]
    event["source"], event["code"] = source.encode(), _NONE if reason is None else _CODES.index(reason.code)
    event["field"] = b"" if reason is None else reason.field.encode()
    event["value"], event["limit"] = (0.0, 0.0) if reason is None else (reason.value, reason.limit)
    event["text"] = (text if reason is None else reason.text).encode()
    record["num_events"] += 1


def events_after(record: np.ndarray, seen: int) -> list[tuple[str, Reason | None, str]]:
    """What was added after the first `seen` events, as far as it is still there: source, reason or None, text."""
    found = []
    for number in range(max(seen, int(record["num_events"]) - EVENTS), int(record["num_events"])):
        event = record["events"][number % EVENTS]
        source, field, text = (event[name].item().decode(errors="replace") for name in ("source", "field", "text"))
        code = int(event["code"])
        value, limit = float(event["value"]), float(event["limit"])
        found.append((source, None if code == _NONE else Reason(_CODES[code], field, value, limit, text), text))
    return found
