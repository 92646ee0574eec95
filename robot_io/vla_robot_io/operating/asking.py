"""What an operator may ask of a run, as one line of JSON each; the run looks at them every control step.

    console ─┐                            {"verb": "hold", "asked_s": 81.2}
    test    ─┼─► DIR/operator.jsonl ─►    {"verb": "acknowledge", "text": "the fault, by name", "asked_s": 90.4}
    script  ─┘     (appended)             {"verb": "speed", "value": 0.2, "asked_s": 93.0}

A request that the run comes to see only much later is not carried out: nobody means it any more. The stop button is
none of these: it is a file that the arm's own process looks at (`stop_flag.py`).
"""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeGuard, runtime_checkable

from vla.errors import WireError

FILE_NAME = "operator.jsonl"
"""In a run's folder."""
MAX_LINE_BYTES = 2048
"""Fewer than a pipe takes at once, so that lines of several writers never mix."""
MAX_TEXT = 500
STALE_AFTER_S = 2.0
"""What was asked for longer ago than this is no longer done."""


class Verb(enum.Enum):
    """What may be asked for."""

    END = "end"
    """Hold, and end the run."""
    HOLD = "hold"
    """Stay where commanded until told otherwise."""
    RESUME = "resume"
    """Go on: the policy, or the human where there is none."""
    ACKNOWLEDGE = "acknowledge"
    """Clear the latched fault of which `text` is the name; nothing moves until `resume`."""
    TAKE_OVER = "take_over"
    """The human drives from now on."""
    HAND_BACK = "hand_back"
    """The policy goes on from where the human left off."""
    SPEED = "speed"
    """At which the policy's time passes: `value`, above 0."""
    INSTRUCTION = "instruction"
    """What to do from now on, in words: `text`."""
    RECORD = "record"
    """Begin an episode."""
    END_RECORDING = "end_recording"
    """End the episode; it is kept or discarded later."""
    KEEP = "keep"
    """End and keep the episode: a success if `value` is 1, none if it is 0."""
    DISCARD = "discard"
    """End the episode and keep nothing of it."""


_NEEDS_TEXT = (Verb.ACKNOWLEDGE, Verb.INSTRUCTION)
_NEEDS_VALUE = (Verb.SPEED, Verb.KEEP)


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One thing that an operator asked for."""

    verb: Verb
    text: str = ""
    """The name of a fault, or an instruction."""
    value: float | None = None
    asked_s: float = -math.inf
    """When, by this machine's monotonic clock."""


@runtime_checkable
class Requests(Protocol):
    """Where a run gets its requests from."""

    def take(self) -> Sequence[Request]:
        """What was asked for since this was last called, in order; never waits."""
        ...

    def close(self) -> None: ...


class QueuedRequests:
    """Requests from within this process: a terminal's keys, or a test."""

    def __init__(self, *requests: Request) -> None:
        self._waiting = collections.deque(requests)

    def ask(self, request: Request) -> None:
        """Put one in line; from any thread."""
        self._waiting.append(request)

    def take(self) -> list[Request]:
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def close(self) -> None:
        """Nothing is held."""


class MergedRequests:
    """Requests from several places."""

    def __init__(self, *sources: Requests) -> None:
        self._sources = sources

    def take(self) -> list[Request]:
        return [request for source in self._sources for request in source.take()]

    def close(self) -> None:
        for source in self._sources:
            source.close()


class RequestFile:
    """The run's side of the file that requests are appended to."""

    def __init__(self, folder: Path, refused: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        """Begin an empty file; what was asked of an earlier run is gone.

        Args:
            folder: of the run.
            refused: told of every line that is no request, and of every request that came too late.
            now: this machine's monotonic clock.
        """
        self._refused, self._now = refused, now
        self._file = os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._read = 0
        self._rest = b""

    def take(self) -> list[Request]:
        new = os.pread(self._file, 16 * MAX_LINE_BYTES, self._read)
        self._read += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest = b""
        return [request for line in lines if (request := self._parsed(line)) is not None]

    def close(self) -> None:
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def _parsed(self, line: bytes) -> Request | None:
        try:
            request = request_of(line)
        except WireError as error:
            self._refused(str(error))
            return None
        age_s = self._now() - request.asked_s
        if age_s > STALE_AFTER_S and request.verb not in (Verb.HOLD, Verb.END):
            self._refused(f"'{request.verb.value}' was asked for {age_s:.1f} s ago: not done, ask again")
            return None
        return request


def ask(folder: Path, request: Request, now: Callable[[], float] = time.monotonic) -> None:
    """Ask something of the run in this folder, from whatever process.

    Raises:
        OSError: if it cannot be written.
    """
    line = line_of(dataclasses.replace(request, asked_s=now()))
    file = os.open(folder / FILE_NAME, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def line_of(request: Request) -> bytes:
    """A request as it is written."""
    tree: dict[str, Any] = {"verb": request.verb.value, "asked_s": request.asked_s}
    tree |= {"text": request.text} if request.text else {}
    tree |= {} if request.value is None else {"value": request.value}
    return json.dumps(tree).encode() + b"\n"


def request_of(line: bytes | str) -> Request:
    """A request as it was written.

    Raises:
        WireError: if it is none.
    """
    if len(line) > MAX_LINE_BYTES:
        raise WireError(f"a request has at most {MAX_LINE_BYTES} bytes, got {len(line)}")
    try:
        tree = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a request is one line of JSON: {type(error).__name__}") from None
    if not isinstance(tree, dict) or not tree.keys() <= {"verb", "text", "value", "asked_s"}:
        raise WireError("a request has verb, text, value and asked_s, and nothing else")
    return _checked(tree)


def _checked(tree: dict[str, Any]) -> Request:
    verbs = {verb.value: verb for verb in Verb}
    if not isinstance(tree.get("verb"), str) or tree["verb"] not in verbs:
        raise WireError(f"expected a verb of {', '.join(verbs)}; got {str(tree.get('verb'))[:40]!r}")
    verb, text, value = verbs[tree["verb"]], tree.get("text", ""), tree.get("value")
    if not isinstance(text, str) or len(text) > MAX_TEXT or (verb in _NEEDS_TEXT and not text.strip()):
        raise WireError(f"'{verb.value}' needs text of at most {MAX_TEXT} characters")
    if verb in _NEEDS_VALUE and not _is_number(value):
        raise WireError(f"'{verb.value}' needs a finite value, got {str(value)[:40]!r}")
    asked_s = tree.get("asked_s", 0.0)
    if not _is_number(asked_s):
        raise WireError("asked_s is a finite number of seconds")
    number = float(value) if verb in _NEEDS_VALUE and _is_number(value) else None
    return Request(verb, " ".join(text.split()), number, float(asked_s))


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= 1e300 and math.isfinite(value)
