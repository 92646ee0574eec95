"""How servos are, by what they measure of themselves: heat, voltage, load, torque, and the errors that they tell.

                    told            holds                        a fault
    temperature     60 C            65 C, until it is below 60
    supply                          15 % from what it should be
    load                            80 % for 0.2 s
    overload                        at once                      after 2 s
    other errors                                                 at once
    torque                                                       gone by itself

Torque is taken from nothing here: an arm that is let go falls.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence

from vla_robot_io.servos.registers import ServoModel, error_words

_OVERLOAD = 1 << 5
logger = logging.getLogger("vla.robot_io")


@dataclasses.dataclass(frozen=True)
class HealthLimits:
    """When servos are no longer commanded."""

    warm_c: int = 60
    """Told from here on, C, ..."""
    hot_c: int = 65
    """... and held from here on, until all are below `warm_c` again."""
    supply_share: float = 0.15
    """How far the voltage may be from what it should be, as a part of it."""
    load_share: float = 0.8
    """Held above this part of the greatest load or current ..."""
    load_s: float = 0.2
    """... if it lasts longer than this, s."""
    overload_s: float = 2.0
    """A servo that tells of overload for longer than this is a fault, s."""


@dataclasses.dataclass(frozen=True)
class Findings:
    """What speaks against commanding the servos."""

    hold: str | None = None
    """Why they should stay where they are, one sentence."""
    fault: str | None = None
    """Why that should stay so until somebody has looked, one sentence."""


class ServoHealth:
    """How the servos of one arm are."""

    def __init__(
        self, model: ServoModel, names: Sequence[str], limits: HealthLimits, supply_volts: float | None
    ) -> None:
        """Begin with servos that are well.

        Args:
            names: of the joints and the gripper, in the order of all readings.
            supply_volts: what the supply gives, if that is known; else the first voltage that is read.
        """
        self._model, self._names, self._limits = model, tuple(names), limits
        self._supply_volts = supply_volts
        self._is_cooling = False
        self._loaded_s = [math.nan] * len(self._names)
        self._overloaded_s = math.nan
        self._was_held = False
        self._warm: set[str] = set()

    def look(self, measured: Mapping[str, Sequence[int]], now_s: float, *, has_torque: bool) -> Findings:
        """What the servos' latest registers, by name, speak against; those that were not read are not judged.

        Args:
            has_torque: whether torque was given to every servo.
        """
        fault = self._errors(measured.get("hardware_error", ()), now_s)
        if has_torque:
            fault = fault or self._limp(measured.get("torque_enable", ()))
        holds = [
            self._overload(measured.get("hardware_error", ())),
            self._heat(measured.get("present_temperature", ())),
            self._supply(measured.get("present_voltage", ())),
            self._load(measured.get(self._model.load_register, ()), now_s),
        ]
        hold = "; ".join(filter(None, holds)) or None
        if hold and not self._was_held:
            logger.warning("servo: %s", hold)
        self._was_held = hold is not None
        return Findings(hold, fault)

    # ------------------------------------------------------------------ one register each

    def _errors(self, bits: Sequence[int], now_s: float) -> str | None:
        if not any(value & _OVERLOAD for value in bits):
            self._overloaded_s = math.nan if bits else self._overloaded_s
        elif math.isnan(self._overloaded_s):
            self._overloaded_s = now_s
        lasting = now_s - self._overloaded_s > self._limits.overload_s
        shown = [value if lasting else value & ~_OVERLOAD for value in bits]
        return self._words(shown) or None

    def _overload(self, bits: Sequence[int]) -> str | None:
        return self._words([value & _OVERLOAD for value in bits]) or None

    def _words(self, bits: Sequence[int]) -> str:
        told = [(name, error_words(self._model.dialect, value)) for name, value in zip(self._names, bits, strict=False)]
        return "; ".join(f"{name}: {', '.join(words)}" for name, words in told if words)

    def _limp(self, torque: Sequence[int]) -> str | None:
        lost = [name for name, is_on in zip(self._names, torque, strict=False) if not is_on]
        return f"{', '.join(lost)} lost torque by itself: support the arm, and find out why" if lost else None

    def _heat(self, degrees: Sequence[int]) -> str | None:
        if not degrees:
            return None
        hottest = max(degrees)
        name = self._names[list(degrees).index(hottest)]
        is_warm = hottest >= self._limits.warm_c
        self._is_cooling = hottest >= self._limits.hot_c or (self._is_cooling and is_warm)
        if is_warm and name not in self._warm:
            logger.warning("servo: %s is at %d C, and will be held at %d C", name, hottest, self._limits.hot_c)
        self._warm = self._warm | {name} if is_warm else set()
        if not self._is_cooling:
            return None
        return f"{name} is at {hottest} C: let it cool below {self._limits.warm_c} C"

    def _supply(self, units: Sequence[int]) -> str | None:
        if not units:
            return None
        volts = [value * self._model.volts_per_unit for value in units]
        if self._supply_volts is None:
            self._supply_volts = sorted(volts)[len(volts) // 2]
        farthest = max(volts, key=lambda value: abs(value - self._expected))
        if abs(farthest - self._expected) <= self._limits.supply_share * self._expected:
            return None
        name = self._names[volts.index(farthest)]
        return f"{name} is fed {farthest:.1f} V, more than {self._limits.supply_share:.0%} from {self._expected:.1f} V"

    @property
    def _expected(self) -> float:
        assert self._supply_volts is not None
        return self._supply_volts

    def _load(self, loads: Sequence[int], now_s: float) -> str | None:
        for index, load in enumerate(loads):
            begun = now_s if math.isnan(self._loaded_s[index]) else self._loaded_s[index]
            is_heavy = abs(load) > self._limits.load_share * self._model.full_load
            self._loaded_s[index] = begun if is_heavy else math.nan
        since = zip(self._names, self._loaded_s, strict=True)
        lasting = [name for name, since_s in since if now_s - since_s > self._limits.load_s]
        if not lasting:
            return None
        return f"{', '.join(lasting)} pushes with more than {self._limits.load_share:.0%} of its strength"
