"""Which source comes next, so that after every sample each has had its share, as nearly as whole samples allow.

Two sources: of the first k places the left has round(k · share). More sources stand as leaves of a tree; each inner
node deals its places to its two sides by that rule, and a side counts its own places. So place k is found without the
places before it, in as many steps as the tree is deep:

    A 0.5 ──────┐
    B 0.3 ─┐    ├─ B A C A B A C A B A ...
    C 0.2 ─┴────┘

Counts are exact integers. The tree is Huffman's: a node errs by half a place, and one that is not the root has at most
two thirds of its parent's weight, and of its parent's error. So no count is ever two off its share, and with two
sources none is more than one half off.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

from vla.errors import ConfigError


class Interleaving:
    """An endless sequence of sources, each as often as its weight says."""

    def __init__(self, weights: Sequence[float]) -> None:
        """Weights above 0, of any sum; they are taken as they are written, so that 0.1 is one tenth.

        Raises:
            ConfigError: if there is no weight, or one is not a number above 0.
        """
        if not weights or any(not math.isfinite(weight) or weight <= 0 for weight in weights):
            raise ConfigError(f"weights are one or more finite numbers above 0, got {list(weights)}")
        self.num = len(weights)
        self._root = _tree(_whole(weights))

    def at(self, place: int) -> tuple[int, int]:
        """The source at a place, and how many places before it are the same source's."""
        node = self._root
        while isinstance(node, _Node):
            before = node.left_of(place)
            is_left = node.left_of(place + 1) > before
            node, place = (node.left, before) if is_left else (node.right, place - before)
        return node, place

    def counts(self, num: int) -> list[int]:
        """How many of the first `num` places are each source's."""
        counts = [0] * self.num
        pending: list[tuple[_Node | int, int]] = [(self._root, num)]
        while pending:
            node, places = pending.pop()
            if isinstance(node, _Node):
                left = node.left_of(places)
                pending += [(node.left, left), (node.right, places - left)]
            else:
                counts[node] = places
        return counts


@dataclasses.dataclass(frozen=True, slots=True)
class _Node:
    """Deals its places to two sides; a side is a node or a source."""

    left: _Node | int
    right: _Node | int
    left_weight: int
    weight: int

    def left_of(self, places: int) -> int:
        """How many of the first `places` are the left side's: their share, rounded."""
        return (2 * places * self.left_weight + self.weight) // (2 * self.weight)


def _whole(weights: Sequence[float]) -> list[int]:
    """Whole numbers in the ratios that the decimals say."""
    fractions = [Fraction(repr(float(weight))) for weight in weights]
    denominator = math.lcm(*(fraction.denominator for fraction in fractions))
    return [int(fraction * denominator) for fraction in fractions]


def _tree(weights: Sequence[int]) -> _Node | int:
    order = itertools.count()
    heap: list[tuple[int, int, _Node | int]] = [(weight, next(order), source) for source, weight in enumerate(weights)]
    heapq.heapify(heap)
    while len(heap) > 1:
        light, _, right = heapq.heappop(heap)
        heavy, _, left = heapq.heappop(heap)
        heapq.heappush(heap, (light + heavy, next(order), _Node(left, right, heavy, light + heavy)))
    return heap[0][2]
