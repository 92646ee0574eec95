"""Outcomes of Meta-World's episodes depend on their seeds alone: not on how many go on at once."""

from __future__ import annotations

import functools

import pytest

from vla.interfaces import EpisodeSpec
from vla_policies.chunking import ExecutionConfig
from vla_sim import evaluate
from vla_sim.jobs import Job, Outcome
from vla_sim.workers import worker_pool

pytest.importorskip("metaworld")

SPECS = [EpisodeSpec(task, seed) for seed in (0, 1) for task in ("coffee_button", "handle_press")]


@functools.cache
def _outcomes(batch: int) -> list[tuple[object, ...]]:
    with worker_pool(functools.partial(evaluate.make_runner, batch, "metaworld_small"), workers=1) as pool:
        found = [m for m in pool.run(Job("scripted", ExecutionConfig()), SPECS) if isinstance(m, Outcome)]
    results = [outcome.result for outcome in sorted(found, key=lambda outcome: outcome.index)]
    return [(r.spec, r.instruction, r.success, r.error, r.actions.tobytes()) for r in results]


@pytest.mark.parametrize("batch", [2, 4])
def test_an_outcome_does_not_depend_on_the_batch(batch: int) -> None:
    assert _outcomes(batch) == _outcomes(1)
    assert all(success for _, _, success, _, _ in _outcomes(1))
