"""Samples whose pictures are the same but for size, compression or a little light.

    picture ─► 8 × 9 grey ─► dHash, 64 bits ─► few bits apart? ─► 16 × 16 colour ─► every cell nearly equal?

The hash finds candidates and the small pictures decide: on a plain background most of the 64 bits are noise, and one
small thing moved changes few of them. Crops and mirrored pictures are not found.

Source of the hash: Krawetz 2013, "Kind of Like That", hackerfactor.com/blog, the difference hash. Ours differs in
nothing but the second look.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8, UInt64

from vla_datasets.web.samples import WebCorpus, WebSample

MAX_BITS = 3
"""Bits by which the hashes of near-duplicates may differ."""
MAX_LEVELS = 16
"""Of 255, by which a cell of the small pictures may differ in any colour."""

_HASH_BITS = 64
_SMALL = 16


class Look(NamedTuple):
    """What is kept of a picture."""

    sample: int
    """Number of the sample that shows it."""
    bits: int
    small: UInt8[np.ndarray, "16 16 3"]


def difference_hash(image: UInt8[np.ndarray, "height width 3"]) -> int:
    """64 bits: whether each of 8 × 8 cells is brighter than the one to its left."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    cells = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes())


def near_duplicates(corpus: WebCorpus, max_bits: int = MAX_BITS, max_levels: int = MAX_LEVELS) -> list[tuple[int, ...]]:
    """Groups of samples that share a picture, each rising, of two samples or more; others are left out.

    Nearness is passed on: a group holds all that are near to any of it. Every picture is decoded once.

    Raises:
        DataError: naming a picture that cannot be read.
    """
    looks = [look for index in range(len(corpus)) for look in looks_at(corpus[index], index)]
    joined = Groups(len(corpus))
    join_near(joined, looks, max_bits, max_levels)
    return [group for group in joined.groups() if len(group) > 1]


def looks_at(sample: WebSample, number: int) -> list[Look]:
    """What is kept of the pictures of sample `number`: 776 bytes each."""
    sizes = (_SMALL, _SMALL)
    return [
        Look(number, difference_hash(image), np.asarray(cv2.resize(image, sizes, interpolation=cv2.INTER_AREA)))
        for image in sample.images
    ]


class Groups:
    """Numbers that belong together, by joining two at a time."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def join(self, a: int, b: int) -> None:
        low, high = sorted((self._root(a), self._root(b)))
        self._parent[high] = low

    def groups(self) -> list[tuple[int, ...]]:
        """Every number in one group; by their first, and rising within."""
        gathered: dict[int, list[int]] = {}
        for number in range(len(self._parent)):
            gathered.setdefault(self._root(number), []).append(number)
        return [tuple(group) for group in gathered.values()]

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number


def join_near(groups: Groups, looks: Sequence[Look], max_bits: int = MAX_BITS, max_levels: int = MAX_LEVELS) -> None:
    """Join the samples whose pictures are near-duplicates; `groups` is changed in place."""
    # Equal ones first: of thousands of the same blank page one is compared.
    first: dict[bytes, Look] = {}
    for look in looks:
        groups.join(look.sample, first.setdefault(look.small.tobytes(), look).sample)
    if not first:
        return
    samples = [look.sample for look in first.values()]
    bits = np.array([look.bits for look in first.values()], np.uint64)
    small = np.stack([look.small.ravel() for look in first.values()]).astype(np.int16)  # (pictures, 768)
    for bucket in _buckets(bits, max_bits):
        for position, i in enumerate(bucket):
            rest = bucket[position + 1 :]
            near = rest[np.bitwise_count(bits[rest] ^ bits[i]) <= max_bits]
            for j in near[np.abs(small[near] - small[i]).max(axis=1, initial=0) <= max_levels]:
                groups.join(samples[i], samples[j])


def _buckets(bits: UInt64[np.ndarray, " pictures"], max_bits: int) -> Iterator[np.ndarray]:
    """Numbers of pictures, such that any two at most `max_bits` apart are in a bucket together.

    Of `max_bits + 1` bands that share out the bits, two such hashes have one in common.
    """
    borders = [_HASH_BITS * band // (max_bits + 1) for band in range(max_bits + 2)]
    for low, high in itertools.pairwise(borders):
        band = bits >> np.uint64(low) & np.uint64((1 << high - low) - 1)
        order = np.argsort(band, kind="stable")
        cuts = np.flatnonzero(np.diff(band[order])) + 1
        yield from (bucket for bucket in np.split(order, cuts) if len(bucket) > 1)
