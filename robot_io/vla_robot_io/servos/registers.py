"""Registers of the servos that are known here: where they lie, how wide they are, how a number is written in them.

Sources: Feetech, memory table of the STS3215; Robotis, e-Manual, control tables of the X series. The XL430 tells a load
in thousandths where the others tell a current, of which all is the most that `current limit` may be set to.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping


class Sign(enum.Enum):
    """How a register says that a number is negative."""

    NONE = "none"
    """It cannot."""
    BIT_10 = "bit 10"
    BIT_11 = "bit 11"
    BIT_15 = "bit 15"
    """This bit is the sign, the bits below it the size."""
    COMPLEMENT = "complement"
    """Two's complement."""


_SIGN_BIT = {Sign.BIT_10: 10, Sign.BIT_11: 11, Sign.BIT_15: 15}


@dataclasses.dataclass(frozen=True)
class Register:
    """One number that a servo keeps."""

    address: int
    size: int
    """Bytes."""
    sign: Sign = Sign.NONE
    kept: bool = False
    """Whether it outlives a loss of power; such a register is written without torque only."""

    def decode(self, content: bytes) -> int:
        """The number that these bytes stand for."""
        value = int.from_bytes(content, "little")
        if self.sign is Sign.COMPLEMENT:
            return value - (1 << 8 * self.size) if value >> (8 * self.size - 1) else value
        if self.sign is Sign.NONE:
            return value
        bit = 1 << _SIGN_BIT[self.sign]
        return -(value & (bit - 1)) if value & bit else value & (bit - 1)

    def encode(self, value: int) -> bytes:
        """The bytes that stand for a number.

        Raises:
            ValueError: if it does not fit.
        """
        low, high = self.range
        if not low <= value <= high:
            raise ValueError(f"the register at {self.address} holds {low} to {high}, got {value}")
        if self.sign is Sign.COMPLEMENT:
            value %= 1 << 8 * self.size
        elif value < 0:
            value = -value | 1 << _SIGN_BIT[self.sign]
        return value.to_bytes(self.size, "little")

    @property
    def range(self) -> tuple[int, int]:
        """The lowest and the highest number that it can hold."""
        match self.sign:
            case Sign.NONE:
                return 0, (1 << 8 * self.size) - 1
            case Sign.COMPLEMENT:
                half = 1 << (8 * self.size - 1)
                return -half, half - 1
            case _:
                most = (1 << _SIGN_BIT[self.sign]) - 1
                return -most, most


@dataclasses.dataclass(frozen=True)
class ServoModel:
    """What one kind of servo is."""

    name: str
    number: int
    """As the register `model` has it."""
    ticks_per_turn: int
    rad_s_per_unit: float
    """Of the register `present_velocity`."""
    volts_per_unit: float
    registers: Mapping[str, Register]
    dialect: str
    """What they speak: `feetech` or `dynamixel`."""
    full_load: int
    """The greatest that the register `load_register` tells: all of a servo's strength."""
    load_register: str = "present_load"
    watchdog_unit_s: float | None = None
    """Of the register `bus_watchdog`; None if it has none, and only another process can stop it."""

    @property
    def rad_per_tick(self) -> float:
        return math.tau / self.ticks_per_turn


_STS = {
    "model": Register(3, 2, kept=True),
    "id": Register(5, 1, kept=True),
    "min_position": Register(9, 2, kept=True),
    "max_position": Register(11, 2, kept=True),
    "max_temperature": Register(13, 1, kept=True),
    "p_gain": Register(21, 1, kept=True),
    "d_gain": Register(22, 1, kept=True),
    "i_gain": Register(23, 1, kept=True),
    "protection_current": Register(28, 2, kept=True),
    "homing_offset": Register(31, 2, Sign.BIT_11, kept=True),
    "operating_mode": Register(33, 1, kept=True),
    "protective_torque": Register(34, 1, kept=True),
    "protection_time": Register(35, 1, kept=True),
    "overload_torque": Register(36, 1, kept=True),
    "torque_enable": Register(40, 1),
    "acceleration": Register(41, 1),
    "goal_position": Register(42, 2, Sign.BIT_15),
    "goal_velocity": Register(46, 2, Sign.BIT_15),
    "torque_limit": Register(48, 2),
    "lock": Register(55, 1),
    "present_position": Register(56, 2, Sign.BIT_15),
    "present_velocity": Register(58, 2, Sign.BIT_15),
    "present_load": Register(60, 2, Sign.BIT_10),
    "present_voltage": Register(62, 1),
    "present_temperature": Register(63, 1),
    "hardware_error": Register(65, 1),
    "present_current": Register(69, 2, Sign.BIT_15),
}
_X = {
    "model": Register(0, 2, kept=True),
    "firmware": Register(6, 1, kept=True),
    "id": Register(7, 1, kept=True),
    "return_delay": Register(9, 1, kept=True),
    "drive_mode": Register(10, 1, kept=True),
    "operating_mode": Register(11, 1, kept=True),
    "homing_offset": Register(20, 4, Sign.COMPLEMENT, kept=True),
    "max_temperature": Register(31, 1, kept=True),
    "max_position": Register(48, 4, kept=True),
    "min_position": Register(52, 4, kept=True),
    "shutdown": Register(63, 1, kept=True),
    "torque_enable": Register(64, 1),
    "hardware_error": Register(70, 1),
    "bus_watchdog": Register(98, 1, Sign.COMPLEMENT),
    "profile_acceleration": Register(108, 4),
    "profile_velocity": Register(112, 4),
    "goal_position": Register(116, 4, Sign.COMPLEMENT),
    "present_load": Register(126, 2, Sign.COMPLEMENT),
    "present_current": Register(126, 2, Sign.COMPLEMENT),
    "present_velocity": Register(128, 4, Sign.COMPLEMENT),
    "present_position": Register(132, 4, Sign.COMPLEMENT),
    "present_voltage": Register(144, 2),
    "present_temperature": Register(146, 1),
}


def _x_model(name: str, number: int, full_load: int, load_register: str = "present_current") -> ServoModel:
    unit = 0.229 * math.tau / 60
    return ServoModel(name, number, 4096, unit, 0.1, _X, "dynamixel", full_load, load_register, watchdog_unit_s=0.02)


MODELS: dict[str, ServoModel] = {
    "sts3215": ServoModel("sts3215", 777, 4096, math.tau / 4096, 0.1, _STS, "feetech", 1000),
    "xl330_m077": _x_model("xl330_m077", 1190, 1750),
    "xl330_m288": _x_model("xl330_m288", 1200, 1750),
    "xl430_w250": _x_model("xl430_w250", 1060, 1000, "present_load"),
    "xm430_w350": _x_model("xm430_w350", 1020, 1193),
    "xm540_w270": _x_model("xm540_w270", 1120, 2047),
}
"""By the name that a configuration calls them."""

ERROR_BITS: dict[str, Mapping[int, str]] = {
    "feetech": {0: "voltage", 1: "angle sensor", 2: "overheated", 3: "overcurrent", 5: "overload"},
    "dynamixel": {0: "voltage", 2: "overheated", 3: "encoder", 4: "electric shock", 5: "overload"},
}
"""What the bits of `hardware_error` mean, by dialect."""


def error_words(dialect: str, bits: int) -> list[str]:
    """What is wrong with a servo, in words; bits that mean nothing known are named by their number."""
    known = ERROR_BITS[dialect]
    return [known.get(bit, f"error bit {bit}") for bit in range(8) if bits >> bit & 1]
