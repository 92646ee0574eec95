"""The outcomes of an evaluation on disk, kept as they come: what was done is not done again.

    episode ends ─► one checked line appended to out/outcomes.jsonl ─► killed ─► started again: known outcomes first,
                                                                                 then the episodes that are missing

A line stands for one episode: policy, checkpoint, suite, execution and spec make its key. The first line is the guard,
all else that can change an outcome: the code, the versions it stands on, how pictures are drawn. A journal of another
guard is set aside and begun anew. Errors are not kept: such an episode is tried again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vla import cli
from vla.errors import ConfigError
from vla.interfaces import EpisodeSpec
from vla_sim.jobs import Outcome
from vla_sim.resuming.outcomes import outcome_of_json, outcome_to_json, spec_to_json
from vla_sim.resuming.records import Records, read_records, to_line

FORMAT = 1


class Journal:
    """The outcomes that are known, and the file that new ones are appended to."""

    def __init__(self, descriptor: int, known: dict[str, dict[str, Any]], notes: Sequence[str]) -> None:
        """Keep what was read and an open file; see `open_journal`."""
        self._descriptor = descriptor
        self._known = known
        self.notes = list(notes)
        """What is to be told of the files: lines for people."""
        self.num_recalled = 0
        """How many outcomes were taken from it."""

    def recall(self, about: Mapping[str, Any], index: int, spec: EpisodeSpec) -> Outcome | None:
        """The outcome of an episode if it is known.

        Args:
            about: what it hangs on besides its spec and the guard: policy, checkpoint, execution.
            index: which of its job's specs it is.
        """
        tree = self._known.get(_key(about, spec))
        if tree is None:
            return None
        self.num_recalled += 1
        return outcome_of_json(tree, index, spec)

    def keep(self, about: Mapping[str, Any], outcome: Outcome) -> None:
        """Append an outcome, unless it is an error; it is with the operating system when this returns."""
        if outcome.result.error is not None:
            return
        key, tree = _key(about, outcome.result.spec), outcome_to_json(outcome)
        append(self._descriptor, {"key": key, "spec": spec_to_json(outcome.result.spec), "outcome": tree})
        self._known[key] = tree


@contextlib.contextmanager
def open_journal(
    path: Path, guard: Mapping[str, Any], others: Sequence[Path] = (), *, anew: bool = False
) -> Iterator[Journal]:
    """The journal at `path`, made if it is not there, and what other files know, until the context is left.

    Args:
        guard: JSON; all that can change an outcome and is in no key.
        others: journals to read and not to write.
        anew: whether to set aside what is at `path`.

    Raises:
        ConfigError: if another process writes to it, or one of the others is of another guard.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    guard = json.loads(json.dumps(guard))  # as it is read back
    known: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for other in others:
        records = read_records(other.read_bytes())
        _require_guard(other, records, guard)
        known |= _outcomes(records)
        notes += _damage(other, records)
    descriptor = _claimed(path)
    try:
        descriptor, own, more = _begun(descriptor, path, guard, anew)
        yield Journal(descriptor, known | own, [*notes, *more])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append(descriptor: int, record: dict[str, Any]) -> None:
    """Put one record at the end of a file, in as few writes as the system takes."""
    line = to_line(record)
    while line:
        line = line[os.write(descriptor, line) :]


def _claimed(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        # The claim dies with the process, however that ends.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(
            f"another evaluation is writing to {path}: wait for it, or choose another folder as out"
        ) from None
    return descriptor


def _begun(
    descriptor: int, path: Path, guard: Mapping[str, Any], anew: bool
) -> tuple[int, dict[str, dict[str, Any]], list[str]]:
    """The file, ready to append to; its outcomes; what is to be told."""
    content = path.read_bytes()
    records = read_records(content)
    difference = ("was to be set aside" if anew else _difference(records, guard)) if content else None
    if content and difference is None:
        if records.is_torn:
            os.ftruncate(descriptor, content.rfind(b"\n") + 1)
        return descriptor, _outcomes(records), _damage(path, records)
    notes = []
    if difference is not None:
        older = path.with_name(f"{path.name}.older")
        os.replace(path, older)
        os.close(descriptor)
        descriptor = _claimed(path)
        notes = [f"begins anew, for {path} {difference}: it is kept as {older.name}"]
    append(descriptor, {"journal": FORMAT, "guard": dict(guard)})
    return descriptor, {}, notes


def _outcomes(records: Records) -> dict[str, dict[str, Any]]:
    return {record["key"]: record["outcome"] for record in records.whole if "key" in record}


def _require_guard(path: Path, records: Records, guard: Mapping[str, Any]) -> None:
    difference = _difference(records, guard)
    if difference is not None:
        raise ConfigError(
            f"the outcomes in {path} cannot be used: it {difference}; evaluate them anew, or move it away"
        )


def _difference(records: Records, guard: Mapping[str, Any]) -> str | None:
    """Why a file's outcomes are not those of this guard; `None` if they are."""
    heads = [record for record in records.whole if "journal" in record]
    if not heads:
        return "lacks its first line"
    if heads[0]["journal"] != FORMAT:
        return f"is of format {heads[0]['journal']}, and this is {FORMAT}"
    theirs = heads[0]["guard"]
    names = [name for name in dict.fromkeys([*theirs, *guard]) if theirs.get(name) != guard.get(name)]
    return f"was made with other {' and '.join(names)}" if names else None


def _damage(path: Path, records: Records) -> list[str]:
    told = []
    if records.is_torn:
        told.append(f"the last record of {path} is cut off, and its episode is done again")
    if records.num_damaged:
        told.append(f"{records.num_damaged} records of {path} are damaged, and their episodes are done again")
    return told


def _key(about: Mapping[str, Any], spec: EpisodeSpec) -> str:
    return cli.config_hash({**about, "spec": spec_to_json(spec)})
