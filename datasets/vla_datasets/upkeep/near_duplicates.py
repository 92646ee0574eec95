"""Which episodes are the same, or so alike that one tells what the other holds.

Two episodes are the **same** if their pictures, states and actions are, bit for bit: by a hash.

They are **near-duplicates** if they begin alike and act alike, whatever they are called and whatever was said:

- the first picture of every camera, averaged over 8 x 8 tiles, differs by 2 levels of 255 or less on average, and
- the action paths, at 16 points of the episode, differ by 1 % of the fields' ranges or less (root mean square), and
- their lengths differ by a tenth or less.

An action path is the actions themselves, and where actions are changes, their sum so far a step: two demonstrations of
one motion whose noise averages out have one path.

They are of the **same scene** if task and seed are equal, whoever acted; or, across tasks, if seed and near-equal first
pictures are.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float32, UInt8

from vla.embodiment import ActionKind
from vla.interfaces import Episode

TILES = 8
"""A picture's fingerprint has so many tiles in height and width."""
PATH_POINTS = 16
PICTURE_LEVELS = 2.0
PATH_SHARE = 0.01
LENGTH_SHARE = 0.1

_BLOCK = 512
_DELTAS = (ActionKind.DELTA_END_EFFECTOR, ActionKind.DELTA_JOINT)


@dataclasses.dataclass(frozen=True, eq=False)
class Likeness:
    """What an episode is compared by."""

    key: str
    content: str
    """SHA-256 of pictures, states and actions."""
    pictures: Float32[np.ndarray, " tiles"]
    """Of all cameras, 0 to 255."""
    path: Float32[np.ndarray, " points"]
    """In shares of the fields' ranges."""
    num_steps: int

    @staticmethod
    def of(key: str, episode: Episode) -> Likeness:
        """What the episode is compared by; independent of how it is compressed."""
        first = [_tiles(images[0]) for _, images in sorted(episode.images.items())]
        return Likeness(
            key=key,
            content=content_hash(episode),
            pictures=np.concatenate([*first, np.zeros(0, np.float32)]),
            path=_path(episode),
            num_steps=episode.num_steps,
        )


def content_hash(episode: Episode) -> str:
    """64 hexadecimal digits that stand for the pictures, states and actions: not for words, task, seed or times."""
    digest = hashlib.sha256()
    for name, values in (
        *sorted(episode.images.items()),
        ("proprioception", episode.proprioception),
        ("actions", episode.actions),
    ):
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def same(likenesses: Sequence[Likeness]) -> list[list[str]]:
    """Groups of two or more ids with the same content, in the order given."""
    groups: dict[str, list[str]] = {}
    for likeness in likenesses:
        groups.setdefault(likeness.content, []).append(likeness.key)
    return [keys for keys in groups.values() if len(keys) > 1]


def near_duplicates(likenesses: Sequence[Likeness]) -> Iterator[tuple[int, int]]:
    """Pairs i < j of near-duplicates, those with the same content among them; of one embodiment."""
    lengths = np.array([likeness.num_steps for likeness in likenesses], np.float64)
    paths, pictures = _stacked([x.path for x in likenesses]), _stacked([x.pictures for x in likenesses])
    for i, j in _close_pairs(paths, PATH_SHARE):
        if abs(lengths[i] - lengths[j]) <= LENGTH_SHARE * max(lengths[i], lengths[j]) and _look_alike(
            pictures[i], pictures[j]
        ):
            yield i, j


def same_pictures(a: Likeness, b: Likeness) -> bool:
    """Whether both begin with near-equal pictures; never without a camera."""
    return bool(a.pictures.size) and _look_alike(a.pictures, b.pictures)


def _close_pairs(vectors: Float32[np.ndarray, "episodes points"], radius: float) -> Iterator[tuple[int, int]]:
    """Pairs i < j whose root mean square distance is at most `radius`, block by block."""
    width = max(vectors.shape[1], 1)
    squares = np.square(vectors, dtype=np.float64).sum(axis=1)
    for begin in range(0, len(vectors), _BLOCK):
        rows = slice(begin, begin + _BLOCK)
        products = vectors[rows].astype(np.float64) @ vectors[begin:].T.astype(np.float64)
        distances = (squares[rows, None] + squares[None, begin:] - 2 * products) / width
        for i, j in np.argwhere(distances <= radius**2 + 1e-9):
            if i < j:
                yield int(begin + i), int(begin + j)


def _look_alike(a: np.ndarray, b: np.ndarray) -> bool:
    return not a.size or float(np.abs(a - b).mean()) <= PICTURE_LEVELS


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(rows) if rows else np.zeros((0, 0), np.float32)


def _tiles(image: UInt8[np.ndarray, "height width 3"]) -> Float32[np.ndarray, " tiles"]:
    """The mean of each tile and colour."""
    rows = [part.mean(axis=0, dtype=np.float64) for part in np.array_split(image, min(TILES, len(image)))]
    wide = np.stack(rows)  # (tiles, width, 3)
    parts = [part.mean(axis=1) for part in np.array_split(wide, min(TILES, wide.shape[1]), axis=1)]
    return np.stack(parts).ravel().astype(np.float32)


def _path(episode: Episode) -> Float32[np.ndarray, " points"]:
    body = episode.embodiment
    ranges = body.action_high.astype(np.float64) - body.action_low
    shares = episode.actions.astype(np.float64) / ranges  # (steps, action_dim)
    if body.action_kind in _DELTAS:
        shares = np.cumsum(shares, axis=0) / len(shares)
    at = np.linspace(0, len(shares) - 1, PATH_POINTS)
    columns = [np.interp(at, np.arange(len(shares)), column) for column in shares.T]
    return np.concatenate(columns).astype(np.float32)
