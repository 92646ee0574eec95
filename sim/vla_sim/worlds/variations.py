"""What a world may do otherwise in an episode: how it looks, how it is measured, and how it resists.

    Scene.variation ─► World.reset    camera, light, table, friction, mass: until the next reset
                    ─► World.step     a shove, once, at its step
                    ─► Environment    the sensor: on the pictures that a policy sees, and on no others

The default changes nothing, to the bit.
"""

from __future__ import annotations

import dataclasses
import math

from vla.errors import ConfigError

PATTERNS = ("checks", "stripes", "spots")
"""What a table can be covered with, besides one colour."""


@dataclasses.dataclass(frozen=True)
class CameraShift:
    """How the scene camera stands otherwise; it goes on looking at the table's middle, but for its roll."""

    azimuth_rad: float = 0.0
    """About the vertical through the table's middle."""
    elevation_rad: float = 0.0
    distance: float = 1.0
    """Over the usual one."""
    roll_rad: float = 0.0


@dataclasses.dataclass(frozen=True)
class Light:
    """How the table is lit."""

    turn_rad: float = 0.0
    """Of the lamp's direction about the vertical."""
    lean_rad: float = 0.0
    """Of the lamp's direction towards the horizon."""
    brightness: float = 1.0
    """Of all light, over the usual one."""
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Of all light: linear RGB."""


@dataclasses.dataclass(frozen=True)
class TableLook:
    """What the table's top, the background of every picture, looks like."""

    colour: tuple[float, float, float] | None = None
    """Linear RGB; as usual if None."""
    pattern: str = ""
    """One of `PATTERNS`; plain if empty."""
    repeat: float = 4.0
    """Of the pattern along a metre."""


@dataclasses.dataclass(frozen=True)
class Sensor:
    """What happens to a picture between the lens and the policy, in this order."""

    blur_px: float = 0.0
    """Standard deviation of a Gaussian blur."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise, of 255."""
    jpeg_quality: int | None = None
    """1 to 100; not compressed if None."""
    seed: int = 0
    """Of the noise."""


@dataclasses.dataclass(frozen=True)
class Shove:
    """A block that is struck in mid-episode: it has a speed, at once, and slides until friction stops it."""

    thing: str
    """A block's name."""
    step: int
    """The control step at whose beginning it happens; 0 is the first."""
    x_m_s: float
    y_m_s: float


@dataclasses.dataclass(frozen=True)
class Variation:
    """All that is otherwise in an episode, besides what stands where."""

    camera: CameraShift = CameraShift()
    light: Light = Light()
    table: TableLook = TableLook()
    sensor: Sensor = Sensor()
    shove: Shove | None = None
    friction: float = 1.0
    """Of everything that can slide, the fingers too: over the usual one."""
    mass: float = 1.0
    """Of blocks, over the usual one."""


NO_VARIATION = Variation()


def check_variation(variation: Variation) -> None:
    """Return if a world can be like this.

    Raises:
        ConfigError: naming what is out of range.
    """
    ranges = (
        ("camera.distance", variation.camera.distance, 0.3, 3.0),
        ("camera.elevation_rad", abs(variation.camera.elevation_rad), 0.0, math.pi / 4),
        ("light.brightness", variation.light.brightness, 0.0, 4.0),
        ("sensor.blur_px", variation.sensor.blur_px, 0.0, 50.0),
        ("sensor.noise", variation.sensor.noise, 0.0, 255.0),
        ("friction", variation.friction, 0.05, 20.0),
        ("mass", variation.mass, 0.05, 50.0),
    )
    for name, value, low, high in ranges:
        if not low <= value <= high:
            raise ConfigError(f"{name} of a variation is from {low:g} to {high:g}, got {value:g}")
    if variation.table.pattern not in ("", *PATTERNS):
        raise ConfigError(f"a table is plain or has one of {', '.join(PATTERNS)}, got '{variation.table.pattern}'")
