"""A benchmark that is killed leaves no workers behind: they would take the machine from whatever is measured next."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 120.0
"""For a machine that is busy; nothing here measures time."""
FUZZ = "from benchmarks.envelope_fuzz import fuzz; fuzz(1_000_000, 2)"


def until(is_so: Callable[[], bool]) -> bool:
    """Whether it becomes so before patience ends."""
    until_s, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not is_so() and time.monotonic() < until_s:
        pause.wait(0.01)
    return is_so()


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(") ")[2][0]
    except OSError:
        return False
    return state not in "ZX"


def workers_of(process: int) -> list[int]:
    """Its children that compute: what multiprocessing spawned to carry out work."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    commands = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return [child for child, command in commands.items() if b"spawn_main" in command]


def test_workers_end_when_the_benchmark_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", FUZZ], stderr=subprocess.DEVNULL) as fuzzing:
        try:
            assert until(lambda: len(workers_of(fuzzing.pid)) == 2)
            workers = workers_of(fuzzing.pid)
            # Once they work: what they ask of the system when they begin is asked by then.
            assert until(lambda: all(processor_ticks(worker) > 300 for worker in workers))
        finally:
            fuzzing.kill()
    assert until(lambda: not any(map(is_running, workers)))


def processor_ticks(process: int) -> int:
    """Hundredths of a second that it has computed."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_worker_whose_parent_has_ended_before_it_began_ends_at_once() -> None:
    code = "from benchmarks.envelope_fuzz import end_with; end_with(1); print('works')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
