"""McNemar's test against published figures and SciPy, and the bootstrap of a difference of pairs."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binomtest

from vla_sim.paired_tests import Pairs, bootstrap_difference, mcnemar


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        # Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91: Bentur's children (1 against 7).
        (1, 7, 0.0703),
        # The same article: Cavo's patients (6 against 16).
        (6, 16, 0.0525),
    ],
)
def test_the_exact_p_value_is_the_published_one(only_a: int, only_b: int, p: float) -> None:
    assert mcnemar(only_a, only_b) == pytest.approx(p, abs=5e-5)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (3, 3), (59, 6), (86, 150), (1, 1200)])
def test_the_p_value_is_scipys_for_a_fair_coin(only_a: int, only_b: int) -> None:
    assert mcnemar(only_a, only_b) == pytest.approx(binomtest(only_a, only_a + only_b).pvalue, rel=1e-9)


def test_two_that_never_differ_have_a_p_value_of_one() -> None:
    assert mcnemar(0, 0) == 1.0


def test_it_does_not_matter_who_is_a() -> None:
    assert mcnemar(3, 11) == mcnemar(11, 3)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="expected counts of 0 or more, got -1 and 2"):
        mcnemar(-1, 2)


def test_pairs_are_counted_by_kind() -> None:
    pairs = Pairs.of([(True, True), (True, False), (True, False), (False, True), (False, False)])
    assert pairs == Pairs(both=1, only_a=2, only_b=1, neither=1)
    assert pairs.difference == pytest.approx(0.2)


def test_the_bootstrap_has_the_width_that_theory_gives_for_many_pairs() -> None:
    pairs = Pairs(both=500, only_a=120, only_b=80, neither=300)
    share = (pairs.only_a + pairs.only_b) / pairs.n
    half = 1.96 * math.sqrt((share - pairs.difference**2) / pairs.n)
    low, high = bootstrap_difference([pairs])
    assert (low, high) == pytest.approx((pairs.difference - half, pairs.difference + half), abs=2.5e-3)


def test_a_difference_that_is_wholly_between_tasks_has_no_width() -> None:
    assert bootstrap_difference([Pairs(0, 5, 0, 0), Pairs(5, 0, 0, 0)]) == (0.5, 0.5)


def test_the_bootstrap_is_the_same_every_time() -> None:
    pairs = [Pairs(3, 2, 1, 4), Pairs(1, 1, 5, 0)]
    assert bootstrap_difference(pairs) == bootstrap_difference(pairs)


def test_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        bootstrap_difference([])
