"""The journal of an evaluation: what is known again, what is not, and whose file it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from vla.errors import ConfigError
from vla.interfaces import EpisodeSpec
from vla_policies.rollout import RolloutResult
from vla_sim.jobs import Outcome
from vla_sim.resuming.journal import open_journal
from vla_sim.resuming.shards import JOURNAL, Shard, journals_in

GUARD = {"code": "abc", "versions": {"numpy": "2"}, "sizes": (1, 2)}
ABOUT = {"policy": "zero", "execution": {"mode": "synchronous"}}
SPEC = EpisodeSpec("reach", 7)


def outcome(spec: EpisodeSpec = SPEC, error: str | None = None) -> Outcome:
    return Outcome(0, RolloutResult(0, 0, spec, "reach", error is None, 2, np.ones((2, 3), np.float32), error))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal that knows one episode."""
    with open_journal(tmp_path / JOURNAL, GUARD) as journal:
        journal.keep(ABOUT, outcome())
    return tmp_path / JOURNAL


def test_an_outcome_is_known_again(path: Path) -> None:
    with open_journal(path, GUARD) as journal:
        found = journal.recall(ABOUT, 5, SPEC)
        assert found is not None
        assert (found.index, found.result.success, found.result.steps) == (5, True, 2)
        assert (journal.num_recalled, journal.notes) == (1, [])


@pytest.mark.parametrize(
    ("about", "spec"),
    [
        ({**ABOUT, "policy": "random"}, SPEC),
        ({**ABOUT, "execution": {"mode": "asynchronous"}}, SPEC),
        (ABOUT, dataclasses.replace(SPEC, seed=8)),
        (ABOUT, dataclasses.replace(SPEC, instruction="other words")),
    ],
)
def test_another_policy_execution_or_spec_is_not_known(path: Path, about: dict[str, object], spec: EpisodeSpec) -> None:
    with open_journal(path, GUARD) as journal:
        assert journal.recall(about, 0, spec) is None


def test_an_error_is_not_kept_and_so_tried_again(path: Path) -> None:
    broken = dataclasses.replace(SPEC, seed=8)
    with open_journal(path, GUARD) as journal:
        journal.keep(ABOUT, outcome(broken, "OSError: no"))
        assert journal.recall(ABOUT, 0, broken) is None


def test_other_code_begins_anew_says_what_differs_and_keeps_the_older_file(path: Path) -> None:
    older = path.read_bytes()
    with open_journal(path, {**GUARD, "code": "def", "versions": {"numpy": "3"}}) as journal:
        assert journal.recall(ABOUT, 0, SPEC) is None
        assert len(journal.notes) == 1
        assert f"begins anew, for {path} was made with other code and versions" in journal.notes[0]
    assert path.with_name(f"{JOURNAL}.older").read_bytes() == older


def test_it_begins_anew_when_told_to(path: Path) -> None:
    with open_journal(path, GUARD, anew=True) as journal:
        assert journal.recall(ABOUT, 0, SPEC) is None


def test_a_torn_tail_is_dropped_told_and_written_over(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines(keepends=True)[-1][:-9])
    with open_journal(path, GUARD) as journal:
        assert "the last record" in journal.notes[0]
        journal.keep(ABOUT, outcome(dataclasses.replace(SPEC, seed=8)))
    with open_journal(path, GUARD) as journal:
        assert journal.notes == []
        assert journal.recall(ABOUT, 0, SPEC) is not None
        assert journal.recall(ABOUT, 0, dataclasses.replace(SPEC, seed=8)) is not None


def test_a_damaged_record_is_told_and_the_others_stand(path: Path) -> None:
    with open_journal(path, GUARD) as journal:
        journal.keep(ABOUT, outcome(dataclasses.replace(SPEC, seed=8)))
    head, first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(head + first.replace(b"reach", b"stack") + second)
    with open_journal(path, GUARD) as journal:
        assert "1 records" in journal.notes[0]
        assert journal.recall(ABOUT, 0, SPEC) is None
        assert journal.recall(ABOUT, 0, dataclasses.replace(SPEC, seed=8)) is not None


def test_a_damaged_guard_vouches_for_nothing(path: Path) -> None:
    path.write_bytes(b"x" + path.read_bytes())
    with open_journal(path, GUARD) as journal:
        assert journal.recall(ABOUT, 0, SPEC) is None
        assert "lacks its first line" in journal.notes[0]


def test_one_evaluation_writes_at_a_time(path: Path) -> None:
    with (
        open_journal(path, GUARD),
        pytest.raises(ConfigError, match="another evaluation is writing to"),
        open_journal(path, GUARD),
    ):
        pass


def test_shards_are_read_and_those_of_other_code_are_refused(path: Path) -> None:
    with open_journal(path.with_name("outcomes.jsonl.new"), GUARD, [path]) as journal:
        assert journal.recall(ABOUT, 0, SPEC) is not None
    with (
        pytest.raises(ConfigError, match=f"the outcomes in {path} cannot be used: it was made with other code"),
        open_journal(path.with_name("x"), {**GUARD, "code": "def"}, [path]),
    ):
        pass


def test_shards_are_every_episode_once() -> None:
    items = tuple(range(11))
    for count in (1, 3, 11, 20):
        shares = [Shard.parse(f"{number}/{count}").of_all(items) for number in range(1, count + 1)]
        assert sorted(item for share in shares for item in share) == list(items)


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "a/b", "1/2/3", "-1/2", " 1/2"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="shard is i/n with i from 1 to n"):
        Shard.parse(text)


def test_the_files_of_a_folder_are_found(tmp_path: Path) -> None:
    for name in (JOURNAL, Shard(2, 3).file_name, Shard(1, 3).file_name, "outcomes.jsonl.older", "report.json"):
        (tmp_path / name).touch()
    assert [path.name for path in journals_in(tmp_path)] == ["outcomes-1-of-3.jsonl", "outcomes-2-of-3.jsonl", JOURNAL]
