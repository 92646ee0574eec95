"""Whether an episode's outcome depends on its spec and the policy alone: one evaluation, carried out in many ways.

`vla eval` with 1, 2 and 4 workers, batches of 1, 8 and 50, on Ray, in shards, and killed with SIGKILL twice and
resumed. Every episode of every way is compared with that of one worker and batch 1: success, steps, words and the hash
of its actions, to the last bit. Outcomes are read from the journals that the evaluations leave.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vla.files import sha256
from vla_sim.resuming.records import read_records
from vla_sim.resuming.shards import journals_in

EVALUATIONS = {
    "tabletop, the shipped policy": ["policy=pretrained", "tasks=[reach,pick_up]", "episodes=25"],
    "Meta-World, its experts": [
        "policy=scripted",
        "suite=metaworld_small",
        "tasks=[button_press,drawer_close,door_open,reach,plate_slide]",
        "episodes=10",
    ],
}
"""Fifty episodes each, so that a batch of 50 is one."""
KILLED_AT = (0.2, 0.6)
"""After these shares of the episodes."""
_POLL_S = 0.02

type Outcomes = dict[str, tuple[Any, ...]]
"""By spec: success, steps, words, hash of the actions."""


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to carry out an evaluation."""

    name: str
    arguments: tuple[str, ...]
    killed_at: tuple[float, ...] = ()
    shards: int = 1
    needs: str | None = None
    """A module without which it is left out."""


WAYS = (
    Way("workers=2 batch=8", ("workers=2", "batch=8")),
    Way("killed twice and resumed, workers=2 batch=8", ("workers=2", "batch=8"), killed_at=KILLED_AT),
    Way("workers=1 batch=50", ("workers=1", "batch=50")),
    Way("workers=4 batch=8", ("workers=4", "batch=8")),
    Way("workers=1 batch=8", ("workers=1", "batch=8")),
    Way("launcher=ray workers=2 batch=8", ("launcher=ray", "workers=2", "batch=8"), needs="ray"),
    Way("three shards, workers=1 batch=8", ("workers=1", "batch=8"), shards=3),
    Way("workers=2 batch=1", ("workers=2", "batch=1")),
    Way("workers=4 batch=50", ("workers=4", "batch=50")),
)
FIRST = Way("workers=1 batch=1", ("workers=1", "batch=1"))


def measurements(_: str | None) -> dict[str, object]:
    """Carry out, compare, print and return."""
    found = {name: _compared(name, arguments) for name, arguments in EVALUATIONS.items()}
    return {"compared_with": FIRST.name, "evaluations": found}


def _compared(name: str, arguments: Sequence[str]) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        expected = carried_out(FIRST, arguments, Path(folder) / "first", 0)
        rows = []
        for number, way in enumerate(WAYS):
            if way.needs is not None and importlib.util.find_spec(way.needs) is None:
                rows.append({"way": way.name, "left_out": f"{way.needs} is not installed"})
                continue
            begin = time.monotonic()
            outcomes = carried_out(way, arguments, Path(folder) / str(number), len(expected))
            rows.append(
                {"way": way.name, **compared(expected, outcomes), "seconds": round(time.monotonic() - begin, 1)}
            )
            print(f"{name}: {rows[-1]}", flush=True)
    return {"arguments": list(arguments), "episodes": len(expected), "ways": rows}


def compared(expected: Outcomes, outcomes: Outcomes) -> dict[str, object]:
    """How many episodes are the same, and which are not."""
    differ = [spec for spec in expected if outcomes.get(spec) != expected[spec]]
    more = [spec for spec in outcomes if spec not in expected]
    return {"same": len(expected) - len(differ), "of": len(expected), "differ": [*differ, *more]}


def carried_out(way: Way, arguments: Sequence[str], out: Path, total: int) -> Outcomes:
    """What each episode came to.

    Raises:
        RuntimeError: if an evaluation does not end well, with what it said.
    """
    command = [sys.executable, "-m", "vla", "eval", *arguments, *way.arguments]
    command += ["controls=[]", "videos=0", f"out={out}"]
    for share in way.killed_at:
        _kill(command, out, int(share * total))
    for number in range(1, way.shards + 1):
        done = subprocess.run(
            command if way.shards == 1 else [*command, f"shard={number}/{way.shards}"], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise RuntimeError(f"{way.name} ended with status {done.returncode}:\n{done.stderr}")
    return _outcomes(out)


def _kill(command: Sequence[str], out: Path, records: int) -> None:
    """Begin, and end with SIGKILL, workers too, when so many episodes are done."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while len(_outcomes(out)) < records and process.poll() is None:
        time.sleep(_POLL_S)
    if process.poll() is not None:
        raise RuntimeError(f"it ended with status {process.returncode} before it could be killed")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _outcomes(out: Path) -> Outcomes:
    records = [record for path in journals_in(out) for record in read_records(path.read_bytes()).whole]
    return {
        json.dumps(record["spec"], sort_keys=True): _visible(record["outcome"]) for record in records if "key" in record
    }


def _visible(outcome: Mapping[str, Any]) -> tuple[Any, ...]:
    return outcome["success"], outcome["steps"], outcome["instruction"], sha256(outcome["actions"].encode())
