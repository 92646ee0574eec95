"""Whether a map says what matters: delete what it calls important, against patches in random order.

    change                                deletion   grey patches one after the other, the most important first:
      │      ┌───── map                              if the map is right, the decision changes at once
      │    ┌─┘  ┌── random order          insertion  begin with all grey, and give back the most important first:
      │  ┌─┘ ┌──┘                                    if it is right, the decision is soon what it was
      └──┴───┴────────► patches greyed

    score = (area between map and random order, deletion) + (the same, insertion), over the largest change

0 is what a random order gets on average; 1 is a map whose first patch alone makes the whole difference; below 0 the map
points at the wrong places. Where greying everything changes nothing, the score is 0: there is nothing to explain.

The map is made with the same grey patches, one at a time: the score says whether effects of single patches add up to
those of many, on this very decision. It does not say that grey is what the policy would take for nothing.

Source: the deletion and insertion metrics of RISE (Petsiuk, Das and Saenko 2018, arXiv:1806.07421, section 4.2). Ours
differs in being measured against random orders, so that what any order gets does not count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from vla.interfaces import Observation
from vla_policies.occlusion import Change, Patch, greyed

POINTS = 10
"""The curves are looked at after each tenth of the patches."""
LEAST_CHANGE = 1e-3
"""Nats a token, or half-ranges: a policy that greying everything changes by less does not look."""
FEWEST = 5
"""Frames; with fewer, no interval is given."""
RESAMPLES = 1000
BOOTSTRAP_SEED = 0xFA17


@dataclasses.dataclass(frozen=True)
class Faithfulness:
    """The curves of one map: the change after 0, 1, ..., `POINTS` tenths of the patches."""

    deletion: Float64[np.ndarray, " points"]
    insertion: Float64[np.ndarray, " points"]
    """Of what is still different when so many tenths have been given back."""
    random: Float64[np.ndarray, " points"]
    """Deletion in random order, the mean of a few; for insertion, read it from its end."""

    @property
    def largest(self) -> float:
        """The largest change met."""
        return float(max(np.abs(curve).max() for curve in (self.deletion, self.insertion, self.random)))

    @property
    def score(self) -> float:
        """See the top of this file."""
        if self.largest < LEAST_CHANGE:
            return 0.0
        areas = (self.deletion - self.random) + (self.random[::-1] - self.insertion)
        return float(areas[1:-1].mean() / self.largest)


def faithfulness(
    change: Change,
    observation: Observation,
    chosen: Sequence[Patch],
    importance: Float64[np.ndarray, " patches"],
    generator: np.random.Generator,
    orders: int = 4,
) -> Faithfulness:
    """Delete and insert patches in the order of a map, and in random orders.

    Args:
        orders: so many random ones.
    """
    ranked = np.argsort(-importance, kind="stable")
    shuffled = [generator.permutation(len(chosen)) for _ in range(orders)]
    whole = float(change([greyed(observation, chosen)])[0])

    def deleted(order: np.ndarray) -> Float64[np.ndarray, " points"]:
        counts = [round(len(chosen) * point / POINTS) for point in range(1, POINTS)]
        found = change([greyed(observation, [chosen[i] for i in order[:count]]) for count in counts])
        return np.concatenate([[0.0], found, [whole]])

    # To give back the most important first is to delete the least important first, backwards.
    return Faithfulness(
        deletion=deleted(ranked),
        insertion=deleted(ranked[::-1])[::-1],
        random=np.mean([deleted(order) for order in shuffled], axis=0),
    )


def mean_score(scores: Sequence[float]) -> tuple[float, float | None, float | None]:
    """The mean over frames, with a 95 % interval by bootstrap of the frames; none for fewer than `FEWEST`.

    Frames of one episode resemble each other, so the interval is rather too narrow than too wide.
    """
    values = np.array(scores, np.float64)
    if len(values) < FEWEST:
        return float(values.mean()), None, None
    drawn = np.random.default_rng(BOOTSTRAP_SEED).choice(values, (RESAMPLES, len(values)))
    low, high = np.percentile(drawn.mean(axis=1), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def verdict(score: float, low: float | None, largest: float) -> str:
    """What a score says, in words.

    Args:
        low: the lower end of its interval.
        largest: the largest change of any frame.
    """
    if largest < LEAST_CHANGE:
        return (
            "Greying all pictures changes nothing that this policy does: it ignores them, and there is nothing to see."
        )
    if low is None:
        return f"Fewer than {FEWEST} frames were looked at: too few to tell whether the maps can be believed."
    if low <= 0:
        return "The maps do no better than patches in random order: do not believe them."
    if score < 0.2:
        return "The maps do better than patches in random order, but not by much: read them with care."
    return (
        "The maps point at what matters: greying what they mark changes the decision far sooner than random patches do."
    )
