"""What a check of a store finds: a kind, how much it matters, where, and one sentence.

error    an episode is not whole: it cannot be read, and `vla data repair` moves it out
warning  it is whole, and something about it should be looked at before training on it
note     nothing is wrong: an episode is being written, or its writer was killed
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable


class Severity(enum.Enum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Kind(enum.Enum):
    """What was found."""

    HEAD = "head"
    """The store's own description is altered."""
    DAMAGED = "damaged"
    """A file of an episode is missing, short or altered."""
    UNREADABLE = "unreadable"
    """The files are as they were written, and are no episode of this embodiment."""
    UNCOMMITTED = "uncommitted"
    """An episode is being written, or its writer was killed."""
    FOREIGN = "foreign"
    """A file that the store does not know."""
    TIMES = "times"
    """Times that do not increase, have gaps, or do not keep to the control rate."""
    FROZEN_CAMERA = "frozen camera"
    """A camera gives one picture again and again while the robot moves."""
    BLANK_IMAGES = "blank images"
    """Pictures of one colour: a lens covered, a camera off."""
    IDLE = "idle"
    """A long stretch in which nothing moves."""
    LIMITS = "limits"
    """Numbers beyond the limits of their fields."""
    OUTLIER = "outlier"
    """Numbers far beyond nearly all others of their field in this store."""
    LABELS = "labels"
    """Infinite labels, or half a point."""
    INSTRUCTION = "instruction"
    """There is none."""
    DUPLICATE = "duplicate"
    """The same pictures, states and actions under two ids."""
    NEAR_DUPLICATE = "near duplicate"
    """Two episodes that begin alike and act alike."""
    NEVER_SUCCESSFUL = "never successful"
    """No episode of a task by this source has succeeded."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found."""

    severity: Severity
    kind: Kind
    place: str
    """The id of an episode, or the store."""
    message: str

    def __str__(self) -> str:
        return f"{self.severity.value}: {self.kind.value}: {self.place}: {self.message}"

    def to_json(self) -> dict[str, str]:
        """A tree of JSON values."""
        return {
            "severity": self.severity.value,
            "kind": self.kind.value,
            "place": self.place,
            "message": self.message,
        }


def of_severity(findings: Iterable[Finding], severity: Severity) -> list[Finding]:
    """Those that matter this much."""
    return [finding for finding in findings if finding.severity is severity]
