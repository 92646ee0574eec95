"""What looks wrong in an episode that is whole: one function a suspicion, each giving findings.

    Episode ─► times, cameras, motion, limits, labels, words ─► warnings

Steps are counted from 0; a stretch `3-9` holds both its ends. Thresholds are in the units of the world, so that they
mean the same at 10 Hz and at 100 Hz.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from vla.embodiment import Field
from vla.interfaces import Episode
from vla_datasets.upkeep.findings import Finding, Kind, Severity


@dataclasses.dataclass
class Thresholds:
    """From where on something is suspicious."""

    gap_steps: float = 1.5
    """Control steps between two observations; more is a gap."""
    rate_share: float = 0.1
    """By how much of the control rate the real one may be off."""
    frozen_s: float = 1.0
    """How long a camera may give the same picture while the robot moves, s."""
    idle_s: float = 3.0
    """How long nothing may move, s."""
    still_share: float = 0.001
    """A field that changes by less than this share of its range from step to step stands still."""
    blank_levels: int = 4
    """A picture whose brightest and darkest values (0 to 255) are not farther apart is blank."""
    beyond_share: float = 0.001
    """How far an action may lie beyond its limits, as a share of their distance."""
    state_beyond_share: float = 0.02
    """The same for proprioception, which physics and sensors carry a little beyond."""
    outlier_spans: float = 5.0
    """How far beyond the quantiles 0.01 and 0.99 a number may lie, in distances between the two."""


def suspicions(key: str, episode: Episode, thresholds: Thresholds) -> list[Finding]:
    """Every suspicion about one episode; what needs the whole store (outliers, duplicates) is not here."""
    found = [
        *((Kind.TIMES, message) for message in _times(episode, thresholds)),
        *((Kind.FROZEN_CAMERA, message) for message in _frozen_cameras(episode, thresholds)),
        *((Kind.BLANK_IMAGES, message) for message in _blank_images(episode, thresholds)),
        *((Kind.IDLE, message) for message in _idle(episode, thresholds)),
        *((Kind.LIMITS, message) for message in _limits(episode, thresholds)),
        *((Kind.LABELS, message) for message in _labels(episode)),
    ]
    if not episode.instruction.strip():
        found.append((Kind.INSTRUCTION, "the instruction is empty"))
    return [Finding(Severity.WARNING, kind, key, message) for kind, message in found]


# --------------------------------------------------------------------------- time


def _times(episode: Episode, thresholds: Thresholds) -> Iterator[str]:
    times_s, dt_s = episode.times_s, episode.embodiment.control_dt_s
    if times_s[0] < 0:
        yield f"the first time is {times_s[0]:.3f} s: times of a monotonic clock are not negative"
    steps_s = np.diff(times_s)
    if (back := np.flatnonzero(steps_s <= 0)).size:
        before, after = times_s[back[0]], times_s[back[0] + 1]
        yield f"times do not increase at {_many(back, 'step')}: first {after:.3f} s after {before:.3f} s"
        return
    if (gaps := np.flatnonzero(steps_s > thresholds.gap_steps * dt_s)).size:
        longest = int(np.argmax(steps_s))
        yield f"{_many(gaps, 'gap')}, the longest {steps_s[longest]:.3f} s at step {longest}, a step is {dt_s:.3f} s"
    elif steps_s.size and abs(steps_s.mean() / dt_s - 1) > thresholds.rate_share:
        yield f"recorded at {1 / steps_s.mean():.2f} Hz, the embodiment's control rate is {1 / dt_s:g} Hz"


# --------------------------------------------------------------------------- pictures


def _frozen_cameras(episode: Episode, thresholds: Thresholds) -> Iterator[str]:
    moving = ~_still(episode, thresholds)
    least = max(2, math.ceil(thresholds.frozen_s * episode.embodiment.control_hz))
    for name, images in episode.images.items():
        for start, stop in stretches(_unchanged(images), least):
            if moving[start:stop].mean() > 0.5:
                yield f"camera '{name}' gives one picture at steps {start}-{stop} while the robot moves"


def _unchanged(images: UInt8[np.ndarray, "steps height width 3"]) -> Bool[np.ndarray, " changes"]:
    """Of each picture but the first, whether it is the one before."""
    return (images[1:] == images[:-1]).all(axis=(1, 2, 3))


def _blank_images(episode: Episode, thresholds: Thresholds) -> Iterator[str]:
    for name, images in episode.images.items():
        low, high = images.min(axis=(1, 2)), images.max(axis=(1, 2))  # (steps, 3)
        blank = (high - low <= thresholds.blank_levels).all(axis=1)
        if blank.any():
            first = int(np.argmax(blank))
            what = "black" if high[first].max() <= 2 * thresholds.blank_levels else "of one colour"
            yield f"camera '{name}' is {what} in {int(blank.sum())} of {len(blank)} pictures, first at step {first}"


# --------------------------------------------------------------------------- motion


def _idle(episode: Episode, thresholds: Thresholds) -> Iterator[str]:
    least = max(2, math.ceil(thresholds.idle_s * episode.embodiment.control_hz))
    for start, stop in stretches(_still(episode, thresholds), least):
        duration_s = (stop - start) * episode.embodiment.control_dt_s
        yield f"nothing moves at steps {start}-{stop}, {duration_s:.1f} s"


def _still(episode: Episode, thresholds: Thresholds) -> Bool[np.ndarray, " changes"]:
    """Of each step but the first, whether no field has moved since the one before."""
    moved = np.abs(np.diff(episode.proprioception.astype(np.float64), axis=0))
    return (moved <= thresholds.still_share * _ranges(episode.embodiment.proprioception)).all(axis=1)


def _limits(episode: Episode, thresholds: Thresholds) -> Iterator[str]:
    body = episode.embodiment
    yield from _beyond("action", body.action, episode.actions, thresholds.beyond_share)
    yield from _beyond("proprioception", body.proprioception, episode.proprioception, thresholds.state_beyond_share)


def _beyond(
    what: str, fields: Sequence[Field], values: Float32[np.ndarray, "steps fields"], share: float
) -> Iterator[str]:
    for field, column in zip(fields, values.astype(np.float64).T, strict=True):
        excess = np.maximum(field.low - column, column - field.high)
        outside = np.flatnonzero(excess > share * (field.high - field.low))
        if outside.size:
            worst = int(np.argmax(excess))
            yield (
                f"{what} '{field.name}' is beyond {field.low:g} to {field.high:g} {field.unit} "
                f"at {_many(outside, 'step')}: {column[worst]:.4g} at step {worst}"
            )


# --------------------------------------------------------------------------- labels


def _labels(episode: Episode) -> Iterator[str]:
    for name, values in episode.labels.items():
        if values.dtype.kind != "f":
            continue
        infinite = np.isinf(values).reshape(len(values), -1).any(axis=1)
        if infinite.any():
            yield f"label '{name}' is infinite, first at step {int(np.argmax(infinite))}"
        if name in ("target", "destination"):
            half = np.isnan(values).any(axis=1) & ~np.isnan(values).all(axis=1)
            if half.any():
                yield f"label '{name}' is half a point, first at step {int(np.argmax(half))}"


# --------------------------------------------------------------------------- runs of steps


def stretches(mask: Bool[np.ndarray, " steps"], least: int) -> list[tuple[int, int]]:
    """Where `mask` is true at least so many times in a row: the first, and the one behind the last."""
    edges = np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    pairs = zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
    return [(int(start), int(stop)) for start, stop in pairs if stop - start >= least]


def _ranges(fields: Sequence[Field]) -> np.ndarray:
    return np.array([field.high - field.low for field in fields], np.float64)


def _many(where: np.ndarray, noun: str) -> str:
    return f"{len(where)} {noun}" + ("s" if len(where) > 1 else "")
