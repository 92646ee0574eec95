from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.errors import ConfigError
from vla_datasets.sampling import ShuffledSampler

NUM, BATCH, SEED = st.integers(1, 40), st.integers(1, 15), st.integers(0, 2**40)


def take(sampler: ShuffledSampler, batches: int) -> list[list[int]]:
    return [batch.tolist() for batch in itertools.islice(sampler, batches)]


@given(NUM, BATCH, SEED, st.integers(0, 30), st.integers(1, 20))
def test_a_resumed_sampler_goes_on_exactly(num: int, batch: int, seed: int, before: int, after: int) -> None:
    whole = take(ShuffledSampler(num, batch, seed), before + after)
    stopped = ShuffledSampler(num, batch, seed)
    take(stopped, before)
    resumed = ShuffledSampler(num, batch, seed)
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    assert take(resumed, after) == whole[before:]


@given(NUM, BATCH, SEED)
def test_each_epoch_gives_every_sample_once(num: int, batch: int, seed: int) -> None:
    samples = np.concatenate(take(ShuffledSampler(num, batch, seed), 3 * num))
    for epoch in range(3):
        assert sorted(samples[epoch * num : (epoch + 1) * num]) == list(range(num))


@given(NUM, BATCH, SEED)
def test_all_batches_are_full(num: int, batch: int, seed: int) -> None:
    assert {len(indices) for indices in take(ShuffledSampler(num, batch, seed), 9)} == {batch}


def test_epochs_and_seeds_differ_in_their_order() -> None:
    first, second = take(ShuffledSampler(50, 50, 0), 2)
    (other,) = take(ShuffledSampler(50, 50, 1), 1)
    assert first != second
    assert first != other


def test_the_epoch_counts_complete_passes() -> None:
    sampler = ShuffledSampler(10, 4, 0)
    epochs = []
    for _ in range(5):
        next(sampler)
        epochs.append(sampler.epoch)
    assert epochs == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(("name", "value"), [("num", 11), ("batch_size", 5), ("seed", 1)])
def test_the_state_of_another_sampler_is_refused(name: str, value: int) -> None:
    state = ShuffledSampler(10, 4, 0).state_dict() | {name: value}
    with pytest.raises(ConfigError, match=f"the sampler to resume is another one: {name} {value} against"):
        ShuffledSampler(10, 4, 0).load_state_dict(state)


@pytest.mark.parametrize("arguments", [(0, 1, 0), (1, 0, 0), (1, 1, -1)])
def test_a_sampler_of_nothing_is_refused(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="a sampler needs num, batch_size ≥ 1 and seed ≥ 0"):
        ShuffledSampler(*arguments)
