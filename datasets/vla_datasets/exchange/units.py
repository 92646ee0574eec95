"""Named units and what one of each is in SI: the only conversions that an import makes."""

from __future__ import annotations

import math
from typing import NamedTuple

from vla.errors import ConfigError, unknown

RAW = "raw"
"""A number without a unit, as an encoder counts: only with an explicit scale does it become a quantity."""


class Unit(NamedTuple):
    """One of it is `factor` of `si`."""

    si: str
    factor: float


UNITS = {
    "1": Unit("1", 1.0),
    "%": Unit("1", 0.01),
    "m": Unit("m", 1.0),
    "dm": Unit("m", 0.1),
    "cm": Unit("m", 0.01),
    "mm": Unit("m", 0.001),
    "inch": Unit("m", 0.0254),
    "rad": Unit("rad", 1.0),
    "deg": Unit("rad", math.pi / 180.0),
    "turn": Unit("rad", 2.0 * math.pi),
    "m/s": Unit("m/s", 1.0),
    "cm/s": Unit("m/s", 0.01),
    "mm/s": Unit("m/s", 0.001),
    "rad/s": Unit("rad/s", 1.0),
    "deg/s": Unit("rad/s", math.pi / 180.0),
    "rpm": Unit("rad/s", 2.0 * math.pi / 60.0),
    "s": Unit("s", 1.0),
    "ms": Unit("s", 0.001),
    "N": Unit("N", 1.0),
    "N m": Unit("N m", 1.0),
    "kg": Unit("kg", 1.0),
}
"""By name. Decimal and angular, each exact to one rounding of float64."""


def factor(source_unit: str, unit: str, where: str) -> float:
    """How many `unit` one `source_unit` is.

    Args:
        unit: of the embodiment's field; SI.
        where: the key in the mapping's file, for errors.

    Raises:
        ConfigError: if a unit is not known, `unit` is not SI, or the two measure different things.
    """
    if unit not in UNITS:
        raise ConfigError(f"{where}.unit: {unknown('unit', unit, UNITS)}")
    if UNITS[unit] != Unit(unit, 1.0):
        raise ConfigError(f"{where}.unit: an embodiment speaks SI, so '{UNITS[unit].si}' and not '{unit}'")
    if source_unit == RAW:
        return 1.0
    if source_unit not in UNITS:
        raise ConfigError(f"{where}.source_unit: {unknown('unit', source_unit, [*UNITS, RAW])}")
    if UNITS[source_unit].si != unit:
        raise ConfigError(
            f"{where}.source_unit: '{source_unit}' does not convert to '{unit}'; for numbers without a unit "
            f"write 'source_unit: {RAW}' and say the scale"
        )
    return UNITS[source_unit].factor
