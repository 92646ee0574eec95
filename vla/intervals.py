"""How sure a success rate is: Wilson's score interval for a share of independent trials."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

Z_95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution


@dataclasses.dataclass(frozen=True, slots=True)
class Share:
    """A share of successes with its 95 % interval; all three are 0..1."""

    n: int
    success: float
    low: float
    high: float

    def to_json(self) -> dict[str, int | float]:
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return f"{self.success:.1%} [{self.low:.1%}, {self.high:.1%}], n = {self.n}"


def share(outcomes: Iterable[bool]) -> Share:
    """The share of successes among outcomes, with its interval.

    Raises:
        ValueError: if there are no outcomes.
    """
    outcomes = list(outcomes)
    successes = sum(outcomes)
    low, high = wilson_interval(successes, len(outcomes))
    return Share(len(outcomes), successes / len(outcomes), low, high)


def wilson_interval(successes: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """The score interval of a binomial share: all p for which |p̂ - p| <= z sqrt(p (1 - p) / n).

        (p̂ + z²/2n ± z sqrt(p̂ (1 - p̂)/n + z²/4n²)) / (1 + z²/n)

    Unlike the interval about p̂ it keeps its width at 0 and at n successes, and never leaves 0..1.

    Args:
        z: of the wanted confidence; 1.96 for 95 %.

    Raises:
        ValueError: unless 0 <= successes <= n and n >= 1.

    Source: Wilson 1927, Journal of the American Statistical Association 22 (158); without continuity correction.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n and n >= 1, got {successes} of {n}")
    rate = successes / n
    middle = rate + z * z / (2 * n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # The ends are exact at 0 and n successes, where rounding would leave 1e-17.
    low = 0.0 if successes == 0 else (middle - half) / scale
    high = 1.0 if successes == n else (middle + half) / scale
    return low, high
