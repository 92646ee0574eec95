"""Outcomes on disk: what is read back is what was written, whatever happens to the file."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vla.interfaces import EpisodeSpec
from vla_policies.certainty import TokenEntropy
from vla_policies.rollout import RolloutResult
from vla_policies.wall_rollout import WallStats
from vla_sim.attribution import Progress
from vla_sim.jobs import Outcome
from vla_sim.resuming.outcomes import outcome_of_json, outcome_to_json
from vla_sim.resuming.records import read_records, to_line

SPEC = EpisodeSpec("reach", 7)
words = st.text(max_size=12)
records = st.lists(
    st.dictionaries(words, st.one_of(words, st.integers(), st.booleans(), st.none()), max_size=4), max_size=6
)
finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    steps, width = draw(st.integers(0, 5)), draw(st.integers(1, 4))
    floats = st.floats(width=32, allow_nan=False)
    actions = np.array(draw(st.lists(floats, min_size=steps * width, max_size=steps * width)), np.float32)
    stages = draw(st.lists(words, unique=True, max_size=4))
    held = frozenset(draw(st.lists(st.sampled_from(stages), max_size=3))) if stages else frozenset()
    return Outcome(
        3,
        RolloutResult(
            3,
            0,
            SPEC,
            draw(words),
            draw(st.booleans()),
            steps,
            actions.reshape(steps, width),
            seams=tuple(draw(st.lists(st.integers(0, 9), max_size=3))),
        ),
        progress=draw(st.none() | st.just(Progress(tuple(stages), held, draw(st.booleans())))),
        entropy=draw(st.none() | st.builds(TokenEntropy, finite, finite)),
        timed_out=draw(st.none() | st.booleans()),
        wall=draw(st.none() | st.builds(WallStats, *[st.integers(0, 9)] * 4, st.tuples(finite, finite), finite)),
    )


@given(outcomes())
def test_an_outcome_comes_back_to_the_last_bit(outcome: Outcome) -> None:
    (record,) = read_records(to_line(outcome_to_json(outcome))).whole
    back = outcome_of_json(record, 3, SPEC)
    assert back.result.actions.tobytes() == outcome.result.actions.tobytes()
    assert back.result.actions.shape == outcome.result.actions.shape
    nothing = np.zeros((0, 1), np.float32)
    kept, given = (dataclasses.replace(o.result, actions=nothing) for o in (back, outcome))
    assert dataclasses.replace(back, result=kept) == dataclasses.replace(
        outcome, result=dataclasses.replace(given, actions=kept.actions)
    )


@given(records)
def test_records_come_back_in_their_order(written: list[dict[str, object]]) -> None:
    found = read_records(b"".join(map(to_line, written)))
    assert (found.whole, found.num_dropped) == (written, 0)


@given(records, st.data())
def test_a_file_cut_anywhere_holds_the_records_before_the_cut(
    written: list[dict[str, object]], data: st.DataObject
) -> None:
    lines = [to_line(record) for record in written]
    content = b"".join(lines)
    cut = data.draw(st.integers(0, len(content)))
    whole = sum(sum(map(len, lines[: count + 1])) <= cut for count in range(len(lines)))
    found = read_records(content[:cut])
    assert found.whole == written[:whole]
    assert found.is_torn == (cut > sum(map(len, lines[:whole])))
    assert found.num_damaged == 0


@given(records.filter(bool), st.data())
def test_a_byte_changed_anywhere_loses_records_and_never_makes_others(
    written: list[dict[str, object]], data: st.DataObject
) -> None:
    content = bytearray(b"".join(map(to_line, written)))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    found = read_records(bytes(content))
    assert len(found.whole) in (len(written) - 1, len(written) - 2)
    left = iter(written)
    assert all(record in left for record in found.whole)  # in their order
    assert found.num_dropped >= 1


@given(st.binary(max_size=200))
def test_bytes_of_anything_are_read_without_an_exception(content: bytes) -> None:
    assert read_records(content).whole == []
