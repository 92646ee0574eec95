"""Why a command was not carried out as it was asked: one code a limit, one sentence an event, one log.

Reason ──► Applied.reasons (the sentence) ──► log.jsonl, every time
   └─────► TripLog (counts) ──► Python's log, the first time and every 50th, and run.json
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import logging
from collections.abc import Callable, Mapping, Sequence

NOT_SAFETY_RATED = (
    "Nothing here is safety-rated: this software can lower the odds of a bad motion, it cannot prevent one. "
    "Keep the arm's own emergency stop in your hand, and people out of its reach."
)

LOG_EVERY = 50
"""After its first, every how manieth trip of one limit is logged."""

logger = logging.getLogger("vla.robot_io")


class Code(enum.Enum):
    """What stood between a command and the arm."""

    NON_FINITE = "non_finite"
    """Envelope, stage 1: a number that is NaN or infinite."""
    JOINT_LIMIT = "joint_limit"
    """Envelope, stage 2: a joint or the gripper beyond its soft limit."""
    STEP_SIZE = "step_size"
    """Envelope, stage 3: farther from the last command than one command period allows."""
    WORKSPACE = "workspace"
    """Envelope, stage 4: the end-effector beyond the box or below the floor."""
    CLEARANCE = "clearance"
    """Envelope, stage 5: the arm too near to itself, or to an obstacle."""
    ACTION_LIMIT = "action_limit"
    """An action beyond the limits that the embodiment states."""
    UNREACHABLE = "unreachable"
    """Inverse kinematics ended away from the pose that was asked for."""
    SWINGING = "swinging"
    """Actions that go from one limit to the opposite and back, again and again."""
    OUT_OF_RANGE = "out_of_range"
    """Most of the last actions were beyond the limits that the embodiment states."""
    UNSEEN_STATE = "unseen_state"
    """The arm is in a state that lies beyond all that the policy was trained on."""
    NEIGHBOUR = "neighbour"
    """Another arm of the bench would be too near."""
    PRESSING = "pressing"
    """The hand was sent against a wall of its box, again and again."""
    SINGULARITY = "singularity"
    """A posture in which joints would have to hurry for the hand to move at all."""
    STALE_ARM = "stale_arm"
    """The arm's own clock has stopped advancing, or it reads numbers that are not finite."""
    TRACKING = "tracking"
    """A joint does not go where it is commanded."""
    STALE_CAMERA = "stale_camera"
    """A camera hands out the same frame, or an old one."""
    CAMERA_CLOCK = "camera_clock"
    """A camera's time stamps jump, or are far from another camera's."""
    BLANK_PICTURE = "blank_picture"
    """A picture that is black, saturated or of one colour."""
    LATE_COMMAND = "late_command"
    """An action came too long after the observation it answers."""
    OVERRUN = "overrun"
    """The loop missed the times at which commands were due."""
    WRITE_ERROR = "write_error"
    """The arm would not take a command."""
    OPERATOR = "operator"
    """The operator holds the arm, has let go of the dead-man switch, or pressed stop."""
    BRAKED = "braked"
    """Going on as asked could not have been stopped in time: braked instead."""
    PLAN_ENDED = "plan_ended"
    """Nothing more to do had come."""
    RUNTIME_SILENT = "runtime_silent"
    """The process that plans has stopped, hangs or is gone."""
    SERVER_SILENT = "server_silent"
    """The policy's server, or the network to it, is silent or gone."""
    STOP_PRESSED = "stop_pressed"
    """Somebody pressed stop."""
    DEAD_MAN = "dead_man"
    """The operator let go of the input that permits motion."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """One limit, once."""

    code: Code
    field: str
    """Which number: `joint_4`, `gripper`, `end_effector_z`, `wrist`, ..."""
    value: float
    limit: float
    text: str
    """One sentence that names field, value and limit."""


class TripLog:
    """Counts every trip of every limit, and logs few of them.

    A limit is one code of one field. Its *run* is how many records in a row, from one source, it has been in.
    """

    def __init__(self) -> None:
        self.listener: Callable[[Sequence[Reason], str], None] | None = None
        """Told of everything that is recorded, with its source."""
        self._totals: collections.Counter[tuple[Code, str]] = collections.Counter()
        self._runs: dict[str, dict[tuple[Code, str], int]] = {}

    def record(self, reasons: Sequence[Reason], source: str = "command") -> None:
        """Take note of all that one command tripped on, even if it is nothing.

        Args:
            reasons: of one command, or of one control step, one reading, ...
            source: which of these.
        """
        if self.listener is not None:
            self.listener(reasons, source)
        tripped = {(reason.code, reason.field): reason for reason in reasons}
        before = self._runs.get(source, {})
        runs = self._runs[source] = {limit: before.get(limit, 0) + 1 for limit in tripped}
        for limit, reason in tripped.items():
            self._totals[limit] += 1
            if self._totals[limit] == 1 or self._totals[limit] % LOG_EVERY == 0:
                logger.warning(
                    "%s: %s (trip %d, run of %d)",
                    reason.code.value,
                    reason.text,
                    self._totals[limit],
                    runs[limit],
                )

    def run_length(self, code: Code, field: str, source: str = "command") -> int:
        """How many records of this source in a row, up to the last one, tripped on this limit."""
        return self._runs.get(source, {}).get((code, field), 0)

    def counts(self) -> Mapping[str, int]:
        """Trips by code, every code named: the commands that each stage has touched, summed over its fields."""
        totals = {code.value: 0 for code in Code}
        for (code, _), count in self._totals.items():
            totals[code.value] += count
        return totals
