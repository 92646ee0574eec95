"""What a process asks the system for, and what it says of it."""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
import time

import pytest

from vla_robot_io.punctuality import collector_spared, sleep_exactly_until

ASK = "import gc, json, os; from vla_robot_io.punctuality import ask_for_punctuality as ask; "
TELL = "print(json.dumps([found, gc.isenabled(), os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)]))"


def asked(first: str, call: str) -> tuple[dict[str, str], bool, int, int]:
    """What a process of its own was granted, and what it has: whether it collects, its scheduler, its nice value."""
    command = [sys.executable, "-c", f"{first}; {ASK} found = {call}; {TELL}"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return found[0], found[1], found[2], found[3]


def test_what_is_said_to_be_granted_is() -> None:
    granted, collects, scheduler, nice = asked("pass", "ask()")
    assert not collects
    assert set(granted) == {"priority", "memory"}
    assert granted["priority"].startswith("real time") == (scheduler == 1)
    assert granted["priority"].startswith("nice") == (scheduler == 0 and nice < 0)


REFUSE = "import os; refused = lambda *a: (_ for _ in ()).throw(PermissionError(1, 'Operation not permitted'))"


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        ("os.sched_setscheduler = refused", "nice -15: real time refused (Operation not permitted)"),
        (
            "os.sched_setscheduler = os.setpriority = refused",
            "as others have: real time refused (Operation not permitted), nice -15 refused (Operation not permitted): "
            "ticks come late on a busy machine",
        ),
    ],
)
def test_what_is_refused_is_told_with_its_reason(refused: str, told: str) -> None:
    may_be_nice = "os.setpriority = lambda *a: None; " if "setpriority =" not in refused else ""
    granted, *_ = asked(f"{REFUSE}; {may_be_nice}{refused}", "ask()")
    assert granted["priority"] == told


def test_no_priority_is_asked_for_where_none_is_wanted() -> None:
    granted, _, scheduler, nice = asked("pass", "ask(real_time=False)")
    # As whoever started it has it.
    assert (scheduler, nice) == (os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0))
    assert granted["priority"] == "as others have: none was asked for"


def test_a_sleep_never_ends_early_and_one_into_the_past_is_none() -> None:
    until_s = time.monotonic() + 0.002
    sleep_exactly_until(until_s)
    assert time.monotonic() >= until_s
    sleep_exactly_until(until_s - 5.0)
    with pytest.raises(ValueError, match="finite time"):
        sleep_exactly_until(math.inf)


def test_the_collector_passes_over_what_there_was_while_it_is_spared() -> None:
    before = gc.get_freeze_count()
    with collector_spared():
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() == 0
