"""Two arms on one bench: each reserves the region that its hand works in, and no two regions may meet.

    box of the hand, turned and moved to the bench, and half of the separation around it
        │
        ▼
    DIR/ARM.region.json, locked as long as its loop lives ─► another living one overlaps? refused before motion

Where the models of the arms are known, their whole shapes are watched in motion besides (`neighbours.py`), and arms
that all say `share=true` may work in each other's regions. A region is a box of the bench's axes. The lock is the file
system's, and goes with the process that holds it, however that ends: a file that is left behind reserves nothing. What
is reserved is where *hands* may be. Arms are told apart by their names on the bench. Nothing here is safety-rated.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import itertools
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from vla.errors import ConfigError
from vla_robot_io.limits import Limits
from vla_robot_io.neighbours import ArmBalls, Neighbours
from vla_robot_io.reasons import Reason

_ENDING, _GATE = ".region.json", "bench.lock"
_MAX_BYTES = 4096


@dataclasses.dataclass
class BenchConfig:
    """Where an arm stands among others, whose loops all name the same folder."""

    folder: str = ""
    """Shared by the loops of all arms of the bench, on one machine; empty for an arm that stands alone."""
    name: str = ""
    """Of this arm on the bench; needed with a folder."""
    base_m: list[float] = dataclasses.field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Where its base stands: x, y, z on the bench, m."""
    base_yaw_rad: float = 0.0
    """How its base is turned on the bench, counter-clockwise from above, rad."""
    separation_m: float = 0.1
    """How far regions of different arms stay apart, the wider of both counts, and how far this arm stays away from the
    shapes of others in motion, m."""
    share: bool = False
    """Whether this arm may work where others do that say so too: then their distance in motion is all that keeps them
    apart. It needs an arm whose model is known."""


@dataclasses.dataclass(frozen=True)
class Region:
    """A box on the bench, m."""

    low: Float64[np.ndarray, " 3"]
    high: Float64[np.ndarray, " 3"]
    separation_m: float = 0.0
    shares: bool = False
    """Whether others may work here."""

    def meets(self, other: Region) -> bool:
        """Whether they come nearer than the wider separation of both."""
        if self.shares and other.shares:
            return False
        apart_m = max(self.separation_m, other.separation_m)
        # Written so that NaN meets everything.
        return not bool(((self.low - other.high >= apart_m) | (other.low - self.high >= apart_m)).any())


class Reservation:
    """One arm's region, reserved or not."""

    def __init__(self, arm: str, limits: Limits, config: BenchConfig, model: str | None = None) -> None:
        """Check the numbers; nothing is reserved yet.

        Args:
            arm: what it is called in messages.
            limits: whose box the hand keeps within.
            config: where the arm stands.
            model: of the arm, where its shapes are known.

        Raises:
            ConfigError: naming what is missing or not finite.
        """
        self._arm, self._config = arm, config
        self._file: int | None = None
        self._neighbours: Neighbours | None = None
        if not config.folder:
            return
        _check(config)
        self._region = region_of(limits, config)
        if model is not None:
            balls = ArmBalls(model, config.base_m, config.base_yaw_rad)
            self._neighbours = Neighbours(Path(config.folder), config.name, balls, config.separation_m)
        elif config.share:
            raise ConfigError(f"control.bench.share=true needs an arm whose shapes are known, and {arm} names no model")

    def claim(self) -> None:
        """Reserve the region, if it is not reserved yet.

        Raises:
            ConfigError: if another arm's region is too near, or another loop moves this arm.
        """
        if not self._config.folder or self._file is not None:
            return
        folder = Path(self._config.folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder):
                self._require_free(folder)
                self._file = self._reserve(folder / f"{self._config.name}{_ENDING}")
        except OSError as error:
            raise ConfigError(f"control.bench.folder={folder}: {error.strerror or error}") from error

    def stay(self, *postures: Float64[np.ndarray, " joints"]) -> None:
        """Tell the other arms of the bench that this one is in these postures, or between them."""
        if self._neighbours is not None and self._file is not None:
            self._neighbours.stay(*postures)

    def objection(self, here: Float64[np.ndarray, " joints"], there: Float64[np.ndarray, " joints"]) -> Reason | None:
        """Why the arm must not go from here to there in this control step, as another is too near; None if it may."""
        if self._neighbours is None or self._file is None:
            return None
        return self._neighbours.objection(here, there, self._living)

    def _living(self) -> Iterator[str]:
        """The names of the other arms whose loops live."""
        for file in sorted(Path(self._config.folder).glob(f"*{_ENDING}")):
            other = file.name.removesuffix(_ENDING)
            if other != self._config.name and _is_held(file):
                yield other

    def release(self) -> None:
        """Give the region free."""
        if self._file is not None:
            if self._neighbours is not None:
                self._neighbours.leave()
            os.close(self._file)
            self._file = None

    def _require_free(self, folder: Path) -> None:
        for file in sorted(folder.glob(f"*{_ENDING}")):
            other = file.name.removesuffix(_ENDING)
            if not _is_held(file):
                continue
            if other == self._config.name:
                raise ConfigError(f"another loop moves '{other}' on this bench: end it, or give this arm its own name")
            region = _read(file)
            if self._region.meets(region):
                raise ConfigError(
                    f"'{self._config.name}' ({self._arm}) would work {_told(self._region)}, and '{other}' works "
                    f"{_told(region)}, less than {max(self._region.separation_m, region.separation_m):g} m apart: make "
                    f"envelope.box_low_m and box_high_m smaller, or end the other run"
                )

    def _reserve(self, path: Path) -> int:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fields: dict[str, object] = {"low": self._region.low.tolist(), "high": self._region.high.tolist()}
        os.ftruncate(file, 0)
        fields |= {"separation_m": self._region.separation_m, "shares": self._region.shares}
        os.write(file, json.dumps(fields).encode())
        return file


def region_of(limits: Limits, config: BenchConfig) -> Region:
    """The box that holds the hand's box, as it lies on the bench."""
    cos, sin = math.cos(config.base_yaw_rad), math.sin(config.base_yaw_rad)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    corners = np.array(list(itertools.product(*zip(limits.box_low, limits.box_high, strict=True))))
    placed = corners @ turn.T + np.array(config.base_m)
    return Region(placed.min(axis=0), placed.max(axis=0), config.separation_m, config.share)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else looks or reserves while the block lasts."""
    with open(folder / _GATE, "a", encoding="ascii") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield


def _is_held(file: Path) -> bool:
    """Whether a living process has reserved it."""
    with open(file, "rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _read(file: Path) -> Region:
    """What a living loop has reserved.

    Raises:
        ConfigError: if it is not to be read: then nobody knows where that arm works.
    """
    try:
        with open(file, "rb") as opened:
            tree = json.loads(opened.read(_MAX_BYTES))
        low, high = (np.array([float(value) for value in tree[name]]) for name in ("low", "high"))
        separation_m, shares = float(tree["separation_m"]), tree.get("shares") is True
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file} is held by a living loop and cannot be read: end that run") from error
    if low.shape != (3,) or high.shape != (3,):
        raise ConfigError(f"{file} is held by a living loop and holds no region: end that run")
    return Region(low, high, separation_m, shares)


def _told(region: Region) -> str:
    ranges = zip("xyz", region.low, region.high, strict=True)
    return "in " + ", ".join(f"{axis} {low:.2f} to {high:.2f} m" for axis, low, high in ranges)


def _check(config: BenchConfig) -> None:
    if not config.name or not config.name.replace("-", "").replace("_", "").isalnum():
        raise ConfigError(f"control.bench.name is letters, digits, - and _: got '{config.name}'")
    if len(config.base_m) != 3 or not all(map(math.isfinite, config.base_m)):
        raise ConfigError(f"control.bench.base_m is x, y, z in m, got {config.base_m}")
    if not math.isfinite(config.base_yaw_rad):
        raise ConfigError(f"control.bench.base_yaw_rad must be finite, got {config.base_yaw_rad}")
    if not (math.isfinite(config.separation_m) and config.separation_m >= 0):
        raise ConfigError(f"control.bench.separation_m must be finite and at least 0, got {config.separation_m}")
