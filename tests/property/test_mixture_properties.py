from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla.errors import ConfigError
from vla_datasets.mixing.interleaving import Interleaving
from vla_datasets.mixing.mixture import Mixture, SourceShare
from vla_datasets.mixing.permutation import Permutation

WEIGHTS = st.lists(st.sampled_from([0.001, 0.1, 0.2, 0.3, 0.5, 1.0, 1 / 3, 2.0, 7.0, 99.5]), min_size=1, max_size=9)
LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=5)


def mixture(lengths: list[int], seed: int = 0) -> Mixture:
    return Mixture([SourceShare(f"s{i}", length, 1 / (i + 1)) for i, length in enumerate(lengths)], seed)


@given(st.integers(1, 500), st.integers(0, 2**40))
def test_a_permutation_has_every_item_once(num: int, key: int) -> None:
    order = Permutation(num, key)
    assert sorted(order[i] for i in range(num)) == list(range(num))


@given(st.integers(1, 2**62), st.integers(0, 2**40), st.data())
def test_any_place_of_a_huge_permutation_is_found_alone(num: int, key: int, data: st.DataObject) -> None:
    first, second = (data.draw(st.integers(0, num - 1)) for _ in range(2))
    order = Permutation(num, key)
    assert 0 <= order[first] < num
    assert (order[first] == order[second]) == (first == second)


@pytest.mark.parametrize("num", [2, 3, 5, 7, 12])
def test_every_item_comes_first_equally_often(num: int) -> None:
    tries = 600 * num
    counts = Counter(Permutation(num, "seed", epoch)[0] for epoch in range(tries))
    chi_square = sum((counts[item] - 600) ** 2 / 600 for item in range(num))
    # Mean num - 1, deviation sqrt(2 (num - 1)): five deviations.
    assert chi_square < num - 1 + 5 * (2 * (num - 1)) ** 0.5


def test_neighbours_do_not_stay_neighbours() -> None:
    order = [Permutation(10_000, 3)[i] for i in range(10_000)]
    assert abs(float(np.corrcoef(order, np.arange(10_000))[0, 1])) < 0.05
    assert abs(float(np.corrcoef(order[:-1], order[1:])[0, 1])) < 0.05


def test_the_order_is_the_same_on_every_machine() -> None:
    assert [Permutation(11, 7, "web", 2)[i] for i in range(11)] == [8, 2, 6, 5, 0, 3, 10, 4, 7, 9, 1]


@given(WEIGHTS, st.integers(0, 10**12))
def test_counts_stay_within_two_of_their_share(weights: list[float], num: int) -> None:
    exact = [Fraction(repr(weight)) for weight in weights]
    counts = Interleaving(weights).counts(num)
    assert sum(counts) == num
    for count, weight in zip(counts, exact, strict=True):
        assert abs(count - num * weight / sum(exact)) < 2


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.integers(0, 10**9))
def test_of_two_sources_none_is_more_than_half_a_sample_off(first: float, second: float, num: int) -> None:
    exact = Fraction(repr(first)), Fraction(repr(second))
    assert abs(Interleaving([first, second]).counts(num)[0] - num * exact[0] / sum(exact)) <= Fraction(1, 2)


@given(WEIGHTS, st.integers(0, 10**9))
def test_a_place_agrees_with_the_counts_around_it(weights: list[float], place: int) -> None:
    interleaving = Interleaving(weights)
    source, occurrence = interleaving.at(place)
    before, after = interleaving.counts(place), interleaving.counts(place + 1)
    assert before[source] == occurrence
    assert [b - a for a, b in zip(before, after, strict=True)] == [i == source for i in range(len(weights))]


@given(LENGTHS, st.integers(0, 2**40))
def test_every_item_comes_once_an_epoch(lengths: list[int], seed: int) -> None:
    stream = mixture(lengths, seed)
    draws = [stream.draw(k) for k in range(200)]
    for source, length in enumerate(lengths):
        own = [draw for draw in draws if draw.source == source]
        for epoch in range(len(own) // length):
            items = [draw.item for draw in own[epoch * length : (epoch + 1) * length]]
            assert sorted(items) == list(range(length))


@given(LENGTHS, st.integers(0, 10**9))
def test_a_draw_needs_none_before_it(lengths: list[int], position: int) -> None:
    walked = mixture(lengths)
    for k in range(max(0, position - 3), position):
        walked.draw(k)
    assert walked.draw(position) == mixture(lengths).draw(position)


def test_epochs_and_seeds_and_sources_differ_in_their_order() -> None:
    def order(seed: int, name: str, epoch: int) -> list[int]:
        stream = Mixture([SourceShare(name, 50, 1.0)], seed)
        return [stream.draw(50 * epoch + k).item for k in range(50)]

    assert len({tuple(order(*key)) for key in [(0, "a", 0), (0, "a", 1), (1, "a", 0), (0, "b", 0)]}) == 4


def test_the_report_says_what_is_realised() -> None:
    web, robot = Mixture([SourceShare("web", 10, 3.0), SourceShare("robot", 4, 1.0)], 0).report(40)
    assert (web.wanted, web.realised, web.samples, web.epochs) == (0.75, 0.75, 30, 3.0)
    assert (robot.wanted, robot.realised, robot.samples, robot.epochs) == (0.25, 0.25, 10, 2.5)


def test_an_identity_survives_json() -> None:
    stream = mixture([3, 4])
    stream.require_same(json.loads(json.dumps(stream.identity())))


@pytest.mark.parametrize(
    ("sources", "seed", "message"),
    [
        ([SourceShare("web", 11, 1.0), SourceShare("robot", 5, 2.0)], 0, "length of 'web' 10 against 11"),
        ([SourceShare("web", 10, 1.5), SourceShare("robot", 5, 2.0)], 0, r"weight of 'web' 1\.0 against 1\.5"),
        ([SourceShare("web", 10, 1.0, "ab"), SourceShare("robot", 5, 2.0)], 0, "content of 'web' '' against 'ab'"),
        ([SourceShare("web", 10, 1.0)], 0, "source 'robot' is gone"),
        ([SourceShare("web", 10, 1.0), SourceShare("robot", 5, 2.0)], 1, "seed 0 against 1"),
        ([SourceShare("robot", 5, 2.0), SourceShare("web", 10, 1.0)], 0, "sources in the order web, robot against"),
    ],
)
def test_another_mixture_is_refused_by_its_difference(sources: list[SourceShare], seed: int, message: str) -> None:
    held = Mixture([SourceShare("web", 10, 1.0), SourceShare("robot", 5, 2.0)], 0)
    other = Mixture(sources, seed)
    assert held.fingerprint != other.fingerprint
    with pytest.raises(ConfigError, match=f"the mixture to resume is another one: {message}"):
        other.require_same(held.identity())


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "a mixture needs one source or more"),
        ([SourceShare("a", 1, 1.0), SourceShare("a", 2, 1.0)], "source 'a' is there twice"),
        ([SourceShare("a", 0, 1.0)], "source 'a' has no samples"),
        ([SourceShare("a", 1, 0.0)], "source 'a' needs a finite weight above 0"),
        ([SourceShare("a", 1, float("nan"))], "source 'a' needs a finite weight above 0"),
    ],
)
def test_a_mixture_of_nothing_is_refused(sources: list[SourceShare], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Mixture(sources, 0)
