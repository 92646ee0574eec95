"""Where things stand: random, apart from each other, within the arm's reach and the picture."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Float64

from vla_sim.worlds.scene import COLOURS, Kind, Scene, Thing

Region = tuple[float, float, float, float]
"""x low, x high, y low, y high: m."""

TABLE: Region = (0.37, 0.65, -0.20, 0.20)
RADIUS_M = {Kind.BLOCK: 0.046, Kind.PAD: 0.058, Kind.BOWL: 0.082, Kind.BUTTON: 0.050, Kind.DRAWER: 0.0, Kind.CUP: 0.062}
"""The circle that a thing claims: a block's leaves room for open fingers around it."""
RADIUS_M |= dict.fromkeys((Kind.CYLINDER, Kind.PRISM, Kind.BALL), RADIUS_M[Kind.BLOCK]) | {Kind.PLATE: 0.060}
MAX_YAW_RAD = {Kind.BLOCK: 0.35, Kind.PAD: 0.0, Kind.BOWL: 0.0, Kind.BUTTON: 0.0, Kind.DRAWER: 0.0}
MAX_YAW_RAD |= dict.fromkeys((Kind.CYLINDER, Kind.PRISM, Kind.BALL, Kind.PLATE), 0.0) | {Kind.PRISM: 0.35}
MAX_YAW_RAD |= {Kind.CUP: 0.2}
_MAX_TRIES = 2000

START_LOW = np.array([0.42, -0.15, 0.12, -0.3])
START_HIGH = np.array([0.58, 0.15, 0.22, 0.3])
"""Where the tool centre point starts: x, y, z (m), yaw (rad)."""


@dataclasses.dataclass(frozen=True)
class Wish:
    """A thing that is to stand somewhere in a region."""

    kind: Kind
    colour: str
    region: Region = TABLE


def other_colours(
    generator: np.random.Generator, taken: Sequence[str], number: int, palette: Iterable[str] = COLOURS
) -> list[str]:
    """Different colours that are not taken."""
    free = [colour for colour in palette if colour not in taken]
    return [str(colour) for colour in generator.permutation(free)[:number]]


def scatter(
    generator: np.random.Generator,
    wishes: Sequence[Wish],
    *,
    fixed: Sequence[Thing] = (),
    accept: Callable[[Sequence[Thing]], bool] = lambda things: True,
) -> tuple[Thing, ...]:
    """Things that stand as wished, the fixed ones last, no two of them too close.

    Args:
        accept: what else must hold of the things, in the order of the wishes.

    Raises:
        RuntimeError: if there is no room.
    """
    for _ in range(_MAX_TRIES):
        things = try_once(generator, wishes)
        if things is not None and accept(things):
            return (*things, *fixed)
    raise RuntimeError(f"found no room for {len(wishes)} things on the table")


def try_once(generator: np.random.Generator, wishes: Sequence[Wish]) -> list[Thing] | None:
    """Things that stand as wished; None if one of them found no room."""
    things: list[Thing] = []
    for wish in wishes:
        for _ in range(30):
            x_low, x_high, y_low, y_high = wish.region
            x, y = generator.uniform(x_low, x_high), generator.uniform(y_low, y_high)
            if all(math.hypot(x - t.x, y - t.y) > RADIUS_M[wish.kind] + RADIUS_M[t.kind] for t in things):
                yaw = generator.uniform(-1, 1) * MAX_YAW_RAD[wish.kind]
                things.append(Thing(wish.kind, wish.colour, float(x), float(y), float(yaw)))
                break
        else:
            return None
    return things


def start_pose(generator: np.random.Generator, away_from: Thing | None = None) -> Float64[np.ndarray, " pose"]:
    """Where the arm starts: at least 12 cm, seen from above, from a thing that is given."""
    while True:
        pose = generator.uniform(START_LOW, START_HIGH)
        if away_from is None or math.hypot(pose[0] - away_from.x, pose[1] - away_from.y) > 0.12:
            return pose


def blocks_and_pads(
    generator: np.random.Generator,
    block: str,
    pad: str | None,
    *,
    accept: Callable[[Sequence[Thing]], bool] = lambda things: True,
    away: bool = False,
) -> Scene:
    """A scene of 3 or 4 blocks and 2 or 3 pads: the block named `block` comes first, then the pad.

    Args:
        accept: what must hold of the things, the named block first and the named pad second.
        away: whether the arm starts away from the named block.
    """
    pads = other_colours(generator, (), 3) if pad is None else [pad, *other_colours(generator, (pad,), 2)]
    blocks = other_colours(generator, (block,), int(generator.integers(2, 4)))
    pads = pads[: int(generator.integers(2, 4))]
    wishes = [Wish(Kind.BLOCK, block), *(Wish(Kind.PAD, colour) for colour in pads)]
    wishes += [Wish(Kind.BLOCK, colour) for colour in blocks]
    things = scatter(generator, wishes, accept=accept)
    return Scene(things, start_pose(generator, things[0] if away else None), gripper=1.0)
