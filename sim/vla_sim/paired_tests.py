"""Whether one of two policies is better, from episodes that both had: pairs of success and failure.

                    b succeeds   b fails
    a succeeds          n11        n10
    a fails             n01        n00        difference = (n10 - n01) / n

What both did alike, n11 and n00, tells nothing about which is better; the test looks at n10 and n01 alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np

RESAMPLES = 10_000
BOOTSTRAP_SEED = 0xB007


@dataclasses.dataclass(frozen=True, slots=True)
class Pairs:
    """How often each of the four outcomes of a pair came."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @staticmethod
    def of(outcomes: Iterable[tuple[bool, bool]]) -> Pairs:
        """Count (success of a, success of b)."""
        found = list(outcomes)
        return Pairs(*(found.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))

    @property
    def n(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def difference(self) -> float:
        """Success rate of a, less that of b."""
        return (self.only_a - self.only_b) / self.n


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact two-sided p-value that a and b are equally good: twice the smaller tail of a fair coin's throws.

        p = min(1, 2 sum_{k <= min(n10, n01)} C(n10 + n01, k) / 2^(n10 + n01))

    It is 1 if the two never differ. It holds its level at every n, and so finds small differences a little late.

    Raises:
        ValueError: if a count is negative.

    Source: McNemar 1947, Psychometrika 12 (2), in its exact conditional form.
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"expected counts of 0 or more, got {only_a} and {only_b}")
    throws = only_a + only_b
    tail = sum(math.comb(throws, k) for k in range(min(only_a, only_b) + 1))
    # Whole numbers up to the division: nothing is lost however many pairs there are.
    return min(1.0, 2 * tail / 2**throws)


def bootstrap_difference(
    strata: Sequence[Pairs], *, resamples: int = RESAMPLES, seed: int = BOOTSTRAP_SEED
) -> tuple[float, float]:
    """The 95 % percentile interval of the difference, pairs drawn anew within each stratum.

    A stratum is a task: tasks are fixed, and their scenes are what chance drew. Drawing n pairs with replacement is
    drawing how many of them are of each kind, so a resample is one draw of a multinomial distribution.

    Raises:
        ValueError: if there are no pairs.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.
    """
    total = sum(pairs.n for pairs in strata)
    if total == 0:
        raise ValueError("expected at least one pair of episodes")
    generator = np.random.default_rng(seed)
    sums = np.zeros(resamples)
    for pairs in strata:
        shares = np.array([pairs.only_a, pairs.only_b, pairs.both + pairs.neither]) / pairs.n
        drawn = generator.multinomial(pairs.n, shares, size=resamples)  # (resamples, kinds)
        sums += drawn[:, 0] - drawn[:, 1]
    low, high = np.percentile(sums / total, [2.5, 97.5])
    return float(low), float(high)
