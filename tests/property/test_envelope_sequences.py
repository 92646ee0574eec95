"""Random command sequences through envelope and governor, as `benchmarks/envelope_fuzz.py` runs a million of them."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ruckig")

from benchmarks import envelope_fuzz
from benchmarks.envelope_fuzz import (
    BENCHES,
    KINDS,
    Counts,
    fuzz,
    rig_of,
    run_sequence,
    run_shard,
    wrong_answers,
    wrong_path,
)
from vla.errors import ConfigError
from vla_robot_io.envelope import Setpoint

SEED = 7


def test_what_leaves_envelope_and_governor_obeys_every_limit() -> None:
    counts = run_shard(SEED, 0, 300)
    assert counts.failures == {}
    assert counts.examples == []
    assert set(counts.kinds) == set(KINDS)
    assert set(counts.outcomes) == {"pass", "clamp", "hold", "fault"}
    assert counts.refused_as_wrong > 0


def test_a_sequence_depends_on_its_number_alone() -> None:
    again = [run_sequence(BENCHES[0], SEED, index, Counts()) for index in (3, 6, 3)]
    assert np.array_equal(again[0], again[2])
    assert not np.array_equal(again[0], again[1])


STILL, MOVED = np.zeros(7), np.full(7, 1e-4)
PATHS = {
    "not finite": np.array([STILL, STILL * np.nan, STILL]),
    "beyond a joint limit": np.array([STILL, STILL + 9.0, STILL, STILL]),
    "the limit of speed": np.array([STILL, STILL + 0.03, STILL, STILL]),
    "the limit of acceleration": np.array([STILL, MOVED * 8, STILL, STILL]),
    "the limit of jerk": np.array([STILL, MOVED * 0.5, STILL, STILL]),
    "does not come to rest": np.array([STILL, STILL, MOVED * 1e-6]),
}


@pytest.mark.parametrize("limit", PATHS)
def test_a_path_that_breaks_a_limit_is_found(limit: str) -> None:
    rig = rig_of(BENCHES[1])
    # Around a place inside every limit, so that only what is added breaks one.
    path = PATHS[limit] + rig.rest
    assert any(limit in what for what in wrong_path(path, rig.motion, rig.period_s))


FAR, OPEN = Setpoint(np.full(7, 0.1), 0.04), Setpoint(np.zeros(7), 0.09)
NOWHERE = Setpoint(np.full(7, np.nan), 0.04)


@pytest.mark.parametrize(
    ("answer", "what"),
    [(FAR, "more than one step"), (OPEN, "beyond its range"), (NOWHERE, "not finite"), (FAR, "beyond a soft limit")],
)
def test_an_answer_that_breaks_a_limit_is_found(answer: Setpoint, what: str) -> None:
    limits = rig_of(BENCHES[0]).limits
    strict = dataclasses.replace(limits, soft_high=np.full(7, 0.05), soft_low=np.full(7, -0.05))
    good = Setpoint(np.zeros(7), 0.04)
    assert any(what in found for found in wrong_answers([good, answer], [np.zeros(7)] * 2, strict))
    assert not list(wrong_answers([good, good], [np.zeros(7)] * 2, strict))


def test_a_governor_of_other_limits_would_be_found() -> None:
    rig = rig_of(BENCHES[1])
    paths = [run_sequence(BENCHES[0], SEED, index, Counts()) for index in range(6)]
    found = {what for path in paths for what in wrong_path(path, rig.motion, rig.period_s)}
    assert "what is sent goes beyond the limit of jerk" in found
    strict = dataclasses.replace(rig.motion, low=rig.rest + 0.1)
    assert "what is sent lies beyond a joint limit" in set(wrong_path(rig.rest[None].repeat(4, 0), strict, 0.01))


def test_shards_that_are_done_are_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope_fuzz, "SHARD", 4)
    kept = tmp_path / "shards.jsonl"
    first = fuzz(8, 1, seed=SEED, keep=kept)
    kept.write_text(kept.read_text().splitlines()[0] + "\n")
    second = fuzz(8, 1, seed=SEED, keep=kept)
    assert second["sequences"] == first["sequences"] == 8
    assert second["outcomes"] == first["outcomes"]
    assert second["kinds"] == first["kinds"]
    monkeypatch.setattr(envelope_fuzz, "code_hash", lambda: "changed")
    fuzz(4, 1, seed=SEED, keep=kept)
    assert len(kept.read_text().splitlines()) == 3


@pytest.mark.parametrize(("asked", "expected"), [("2", 2), ("16", 16), ("", len(os.sched_getaffinity(0)))])
def test_as_many_processes_share_the_work_as_the_environment_says_or_as_there_are_cores(
    asked: str, expected: int
) -> None:
    assert envelope_fuzz.num_processes({envelope_fuzz.PROCESSES: asked}) == expected


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5"])
def test_a_number_of_processes_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="ENVELOPE_FUZZ_PROCESSES is a number of processes, at least 1"):
        envelope_fuzz.num_processes({envelope_fuzz.PROCESSES: wrong})
