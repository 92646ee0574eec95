"""An arm of servos as `vla.interfaces.Arm`. Not safety-rated.

    connect     every servo answers, and is of the model that was named          no torque changes
    configure   registers that outlive a loss of power are compared; nothing of them is written
    arm         goals := where the joints are, then torque, each read back
    write       one goal for every servo, in one packet
    read        positions, velocities and errors of every servo, in one question
    hold        the last goals once more          close   the wire alone; torque stays as it is

A reply that is late or broken is asked for once more; then the reading is stale, and says so. A servo that tells of an
error (overload, heat, voltage) latches a fault. Where the servos have a watchdog (Dynamixel X), they stop by themselves
when the host falls silent; Feetech's have none.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float64

from vla.arm_modes import ArmModes
from vla.errors import ArmError, ConfigError
from vla.interfaces import Applied, ArmCommand, ArmMode, ArmSpec, ArmState, Clock
from vla_robot_io.servos.bus import BusError, ServoBus
from vla_robot_io.servos.calibration import Calibration
from vla_robot_io.servos.registers import ServoModel, error_words

ATTEMPTS = 2
"""So often is a reading asked for before it is stale."""
POLL_S = 0.2
"""How often servos whose errors are not in every reply are asked for them."""
_OFF, _ON = 0, 1


@dataclasses.dataclass(frozen=True)
class ServoArmConfig:
    """What an arm of servos is, besides its calibration."""

    name: str
    max_speed_rad_s: tuple[float, ...]
    """Of each joint."""
    rate_hz: float = 50.0
    """Commands a second."""
    watchdog_s: float = 0.1
    """After so long a silence servos that can stop by themselves do."""
    expected: tuple[tuple[str, int], ...] = ()
    """Registers that every servo must hold: (name, value)."""


class ServoArm:
    """One arm on one bus."""

    def __init__(
        self, bus: ServoBus, model: ServoModel, calibration: Calibration, config: ServoArmConfig, clock: Clock
    ) -> None:
        """Take hold of the bus; nothing is sent.

        Raises:
            ConfigError: if the numbers do not fit each other.
        """
        self._bus, self._model, self._calibration, self._config, self._clock = bus, model, calibration, config, clock
        self._spec = _spec(model, calibration, config)
        self._modes = ArmModes(config.name)
        self._goals: list[int] | None = None
        self._last: ArmState | None = None
        self._polled_s = -math.inf

    @property
    def spec(self) -> ArmSpec:
        return self._spec

    @property
    def mode(self) -> ArmMode:
        return self._modes.mode

    # ------------------------------------------------------------------ modes

    def connect(self) -> None:
        """Open the wire; no torque changes.

        Raises:
            ArmError: if a servo does not answer, or is of another model.
        """
        self._modes.require("connect")
        for name, id in self._named():
            if not self._bus.ping(id):
                raise ArmError(f"{self._config.name}: {name}, servo {id}, does not answer: power, cable, id?")
            number = self._read(id, "model")
            if number != self._model.number:
                raise ArmError(
                    f"{self._config.name}: {name}, servo {id}, is model {number}, expected {self._model.number} "
                    f"({self._model.name})"
                )
        self._modes.enter("connect")

    def configure(self) -> None:
        """Compare what the servos keep with what is expected.

        Raises:
            ArmError: naming every register that differs.
        """
        self._modes.require("configure")
        wrong = [
            f"{register} of {name} is {found}, expected {value}"
            for register, value in self._config.expected
            for name, id in self._named()
            if (found := self._read(id, register)) != value
        ]
        if wrong:
            raise ArmError(f"{self._config.name}: {'; '.join(wrong)}: set them, or correct the configuration")
        self._modes.enter("configure")

    def arm(self) -> None:
        """Enable torque; the command starts from where the joints are, or are held.

        Raises:
            ArmError: if a servo does not take it.
        """
        self._modes.require("arm")
        ids = self._calibration.ids
        held = [self._read(id, "torque_enable") == _ON for id in ids]
        present = self._ticks("present_position")
        # A servo that holds already is not moved by a hair: its last goal stays.
        goals = [
            goal if holds else here
            for goal, here, holds in zip(self._ticks("goal_position"), present, held, strict=True)
        ]
        self._send(goals)
        for id in ids:
            self._bus.write(id, self._model.registers["torque_enable"], _ON)
        off = [name for name, id in self._named() if self._read(id, "torque_enable") != _ON]
        if off:
            raise ArmError(
                f"{self._config.name}: no torque on {', '.join(off)}: {self._errors() or 'no error is told'}"
            )
        self._feed_watchdog()
        self._goals = goals
        self._modes.enter("arm")

    def run(self) -> None:
        self._modes.require("run")
        self._feed_watchdog()
        self._modes.enter("run")

    def hold(self) -> None:
        self._modes.enter("hold")
        self._send_again()

    def fault(self, reason: str) -> None:
        is_new = self._modes.mode is not ArmMode.FAULT
        self._modes.latch(reason)
        if is_new:
            self._send_again()

    def acknowledge(self, reason: str) -> None:
        self._modes.acknowledge(reason)

    def close(self) -> None:
        """Close the wire; torque stays as it is, and a watchdog no longer watches."""
        if self._modes.mode is not ArmMode.DISCONNECTED:
            try:
                self._stop_watchdog()
            finally:
                self._bus.close()
        self._modes.disconnect()

    # ------------------------------------------------------------------ reading, writing

    def read(self) -> ArmState:
        """The joints as they are now; the last reading, not fresh, where the bus does not answer.

        Raises:
            ArmError: if there is no reading yet to fall back on.
        """
        self._modes.require_connected("read")
        numbers = self._measured()
        if numbers is None:
            if self._last is None:
                raise ArmError(f"{self._config.name} does not answer, and has not been read before")
            self._last = dataclasses.replace(
                self._last, time_s=self._clock.now(), mode=self.mode, fresh=False, fault=self._modes.fault
            )
            return self._last
        self._heed(numbers.get("hardware_error"))
        self._last = self._state(numbers)
        return self._last

    def write(self, command: ArmCommand) -> Applied:
        admitted = self._modes.admit(command, self._spec, self._clock.now())
        ticks = self._calibration.ticks(self._model, admitted.positions).tolist()
        goals = [*ticks, self._calibration.gripper_ticks(admitted.gripper_m)]
        self._send(goals)
        self._goals = goals
        return Applied(*self._meaning(goals), admitted.reasons)

    def _measured(self) -> dict[str, list[int]] | None:
        names = ["present_position", "present_velocity"]
        if self._errors_are_near:
            names.append("hardware_error")
        for _ in range(ATTEMPTS):
            try:
                return self._bus.sync_read(self._model, names, self._calibration.ids)
            except BusError:
                continue
        return None

    def _state(self, numbers: dict[str, list[int]]) -> ArmState:
        now_s, before = self._clock.now(), self._last
        # Servos have no clock: what was asked for now was measured now.
        fresh = before is None or now_s > before.device_time_s
        positions = self._calibration.positions(self._model, numbers["present_position"][:-1])
        turning = np.array(numbers["present_velocity"][:-1]) * self._model.rad_s_per_unit
        commanded, commanded_gripper_m = self._meaning(self._goals or numbers["present_position"])
        return ArmState(
            positions=positions,
            velocities=turning * [joint.direction for joint in self._calibration.joints],
            gripper_m=self._calibration.opening(numbers["present_position"][-1]),
            commanded=commanded,
            commanded_gripper_m=commanded_gripper_m,
            time_s=now_s,
            device_time_s=now_s,
            sequence=(0 if before is None else before.sequence) + fresh,
            mode=self.mode,
            fresh=fresh,
            fault=self._modes.fault,
        )

    def _heed(self, bits: list[int] | None) -> None:
        """Latch a fault if a servo tells of an error."""
        now_s = self._clock.now()
        if bits is None and (self._bus.alerts or now_s - self._polled_s >= POLL_S):
            self._polled_s = now_s
            bits = [self._read(id, "hardware_error") for id in self._calibration.ids]
        told = self._told(bits or [])
        if told and self._modes.mode is not ArmMode.FAULT:
            self.fault(told)

    def _errors(self) -> str:
        return self._told([self._read(id, "hardware_error") for id in self._calibration.ids])

    def _told(self, bits: list[int]) -> str:
        dialect = self._bus.dialect.name
        named = zip(self._named(), bits, strict=False)
        return "; ".join(f"{name}: {', '.join(error_words(dialect, value))}" for (name, _), value in named if value)

    # ------------------------------------------------------------------ servos

    @property
    def _errors_are_near(self) -> bool:
        """Whether errors lie so near to positions that one question fetches both."""
        registers = self._model.registers
        return abs(registers["hardware_error"].address - registers["present_position"].address) < 16

    def _named(self) -> list[tuple[str, int]]:
        return [
            *((joint.name, joint.id) for joint in self._calibration.joints),
            ("gripper", self._calibration.gripper.id),
        ]

    def _read(self, id: int, register: str) -> int:
        return self._bus.read(id, self._model.registers[register])

    def _ticks(self, register: str) -> list[int]:
        return self._bus.sync_read(self._model, [register], self._calibration.ids)[register]

    def _send(self, goals: list[int]) -> None:
        self._bus.sync_write(
            self._model.registers["goal_position"], dict(zip(self._calibration.ids, goals, strict=True))
        )

    def _send_again(self) -> None:
        if self._goals is not None:
            self._send(self._goals)

    def _meaning(self, goals: list[int]) -> tuple[Float64[np.ndarray, " joints"], float]:
        """Positions (rad) and opening (m) at these ticks."""
        opening_m = min(max(self._calibration.opening(goals[-1]), 0.0), self._spec.gripper_high_m)
        return self._calibration.positions(self._model, goals[:-1]), opening_m

    def _feed_watchdog(self) -> None:
        """Clear a watchdog that has tripped, and set it."""
        unit_s = self._model.watchdog_unit_s
        if unit_s is not None:
            register = self._model.registers["bus_watchdog"]
            for id in self._calibration.ids:
                self._bus.write(id, register, 0)
                self._bus.write(id, register, max(1, min(127, round(self._config.watchdog_s / unit_s))))

    def _stop_watchdog(self) -> None:
        if self._model.watchdog_unit_s is not None:
            for id in self._calibration.ids:
                self._bus.write(id, self._model.registers["bus_watchdog"], 0)


def _spec(model: ServoModel, calibration: Calibration, config: ServoArmConfig) -> ArmSpec:
    if len(config.max_speed_rad_s) != len(calibration.joints):
        raise ConfigError(
            f"{config.name}: max_speed_rad_s has {len(config.max_speed_rad_s)} numbers, the calibration "
            f"{len(calibration.joints)} joints"
        )
    for name, _ in config.expected:
        if name not in model.registers:
            raise ConfigError(f"{config.name}: {model.name} has no register '{name}'")
    low, high = calibration.limits(model)
    return ArmSpec(
        name=config.name,
        joints=tuple(joint.name for joint in calibration.joints),
        position_low=low,
        position_high=high,
        max_speed=np.array(config.max_speed_rad_s, np.float64),
        gripper_low_m=0.0,
        gripper_high_m=calibration.gripper.opening_m,
        rate_hz=config.rate_hz,
    )
