"""An arm of servos as `vla.interfaces.Arm`. Not safety-rated.

    connect     every servo answers, and is of the model that was named          no torque changes
    configure   registers that outlive a loss of power are compared; nothing of them is written
    arm         goals := where the joints are, then torque, each read back
    write       one goal for every servo, in one packet
    read        positions, velocities and errors of every servo, in one question
    hold        the last goals once more          close   the wire alone; torque stays as it is

A reply that is late or broken is asked for once more; then the reading is stale, and says so. A servo that is silent
for half a second, a wire that breaks many answers, an error that a servo tells of and torque that is gone are faults;
heat, a sagging supply and a heavy load hold the arm, and `run` says why for as long as they last (`health.py`). Where
the servos have a watchdog (Dynamixel X), they stop by themselves when the host falls silent, and the next one who
connects is told; Feetech's have none.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64

from vla.arm_modes import ArmModes
from vla.errors import ArmError, ConfigError
from vla.interfaces import Applied, ArmCommand, ArmMode, ArmSpec, ArmState, Clock
from vla_robot_io.servos.bus import BusError, ServoBus, Wrong
from vla_robot_io.servos.calibration import Calibration
from vla_robot_io.servos.health import HealthLimits, ServoHealth
from vla_robot_io.servos.link_quality import LinkQuality
from vla_robot_io.servos.registers import ServoModel

ATTEMPTS = 2
"""So often is a reading asked for before it is stale."""
SERVO_ACCELERATION_RAD_S2 = 20.0
"""Published for no servo: half of what Feetech's own register of accelerations goes up to."""
SERVO_JERK_RAD_S3 = 2000.0
"""Published for no servo: that acceleration within 10 ms."""
POLL_S = 0.2
"""How often servos are asked for what does not lie near their positions."""
SILENT_S = 0.5
"""A servo that has not answered for this long is a fault."""
JUMP_S = 0.2
"""Within this time no servo here turns by half a turn."""
NEAR_BYTES = 24
"""Registers within so many bytes are read in one question with the positions."""
_VITALS = ("hardware_error", "torque_enable", "present_temperature", "present_voltage")
_OFF, _ON, _TRIPPED = 0, 1, -1
_SAME_S = 1e-6
logger = logging.getLogger("vla.robot_io")


@dataclasses.dataclass(frozen=True)
class ServoArmConfig:
    """What an arm of servos is, besides its calibration."""

    name: str
    max_speed_rad_s: tuple[float, ...]
    """Of each joint."""
    rate_hz: float = 50.0
    """Commands a second."""
    max_acceleration_rad_s2: tuple[float, ...] = ()
    """Of each joint; `SERVO_ACCELERATION_RAD_S2` if empty."""
    max_jerk_rad_s3: tuple[float, ...] = ()
    """Of each joint; `SERVO_JERK_RAD_S3` if empty."""
    watchdog_s: float = 0.1
    """After so long a silence servos that can stop by themselves do."""
    expected: tuple[tuple[str, int], ...] = ()
    """Registers that every servo must hold: (name, value)."""
    supply_volts: float | None = None
    """What the supply gives; where this is not said, the first voltage that is read."""
    health: HealthLimits = dataclasses.field(default_factory=HealthLimits)
    """When servos are no longer commanded."""


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
        names = [name for name, _ in self._named()]
        self._health = ServoHealth(model, names, config.health, config.supply_volts)
        self._link = LinkQuality()
        self._ticks_read: tuple[float, list[int]] = -math.inf, []
        self._unheard_s: float | None = None
        """Since when the bus has not answered whole."""
        self._hindrance: str | None = None
        """Why the servos are not to be commanded, as of the last reading."""

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
            if not any(self._bus.ping(id) for _ in range(ATTEMPTS)):
                raise ArmError(f"{self._config.name}: {name}, servo {id}, does not answer: power, cable, id?")
            if self._bus.is_shared(id):
                raise ArmError(f"{self._config.name}: more than one servo answers to id {id} ({name}): change one")
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
        tripped = self._tripped()
        if tripped:
            self.fault(f"the watchdog of {', '.join(tripped)} has stopped it: whoever moved this arm last fell silent")

    def arm(self) -> None:
        """Enable torque; the command starts from where the joints are, or are held.

        Raises:
            ArmError: if a servo does not take it, or something speaks against it: heat, supply, an error.
        """
        self._modes.require("arm")
        ids = self._calibration.ids
        self._require_health()
        held = [self._read(id, "torque_enable") == _ON for id in ids]
        present = self._ticks("present_position")
        # A servo that holds already is not moved by a hair: its last goal stays.
        goals = [
            goal if holds else here
            for goal, here, holds in zip(self._ticks("goal_position"), present, held, strict=True)
        ]
        self._send(goals)
        for id in ids:
            self._write(id, "torque_enable", _ON)
        off = [name for name, id in self._named() if self._read(id, "torque_enable") != _ON]
        if off:
            raise ArmError(f"{self._config.name}: no torque on {', '.join(off)}: look at them with `vla robot check`")
        self._feed_watchdog()
        self._goals, self._unheard_s = goals, None
        self._ticks_read = self._clock.now(), present
        self._modes.enter("arm")

    def run(self) -> None:
        """Take commands from now on.

        Raises:
            ArmError: for as long as something holds the servos: heat, supply, load.
        """
        self._modes.require("run")
        if self._hindrance is not None:
            raise ArmError(f"{self._config.name} is held: {self._hindrance}")
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
        if numbers is None or self._has_jumped(numbers["present_position"]):
            return self._stale()
        self._heed(numbers)
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
        """The registers that one question fetches; none if the bus does not answer whole."""
        wrongs = []
        for _ in range(ATTEMPTS):
            try:
                numbers = self._bus.sync_read(self._model, self._near, self._calibration.ids)
            except BusError as error:
                wrongs.append(error)
                continue
            self._unheard_s = None
            self._heed_link(())
            return numbers
        self._heed_link(wrongs)
        return None

    def _stale(self) -> ArmState:
        """The last reading, as what it is."""
        if self._last is None:
            raise ArmError(f"{self._config.name} does not answer, and has not been read before")
        self._last = dataclasses.replace(
            self._last, time_s=self._clock.now(), mode=self.mode, fresh=False, fault=self._modes.fault
        )
        return self._last

    def _heed_link(self, wrongs: Sequence[BusError]) -> None:
        """Latch a fault if the wire is bad, two servos have one id, or one has been silent for long."""
        now_s = self._clock.now()
        told = self._link.look(self._bus.tally, now_s)
        if wrongs and all(error.wrong is Wrong.STRANGE for error in wrongs):
            told = f"id conflict: {wrongs[-1]}, which nobody asked: do two servos have one id?"
        elif wrongs:
            told = told or self._silence(wrongs[-1], now_s)
        if told is not None:
            self._latch(told)

    def _silence(self, error: BusError, now_s: float) -> str | None:
        if self._unheard_s is None:
            # From the last answer on, if somebody was listening until now.
            heard_s = -math.inf if self._last is None else self._last.device_time_s
            self._unheard_s = heard_s if now_s - heard_s <= 3 / self._config.rate_hz else now_s
        if now_s - self._unheard_s < SILENT_S - _SAME_S:
            return None
        name = next(name for name, id in self._named() if id == error.id)
        return f"{name}, servo {error.id}, has not answered for {now_s - self._unheard_s:.3f} s: power, cable?"

    def _has_jumped(self, ticks: list[int]) -> bool:
        """Whether a joint reads half a turn from where it was a moment ago: its encoder wrapped; latches a fault."""
        now_s, (read_s, before) = self._clock.now(), self._ticks_read
        self._ticks_read = now_s, ticks
        if now_s - read_s > JUMP_S:
            return False
        for (name, _), last, here in zip(self._named(), before, ticks, strict=True):
            if abs(here - last) > self._model.ticks_per_turn // 2:
                self._latch(f"encoder wrap: {name} read {last} ticks and then {here}, which no servo can have turned")
                return True
        return False

    def _latch(self, text: str) -> None:
        if self._modes.mode is not ArmMode.FAULT:
            self.fault(f"{self._config.name}: {text}")

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

    def _heed(self, numbers: dict[str, list[int]]) -> None:
        """Hold, or latch a fault, if the servos are not well."""
        now_s = self._clock.now()
        if self._bus.alerts or now_s - self._polled_s >= POLL_S:
            self._polled_s = now_s
            numbers = numbers | self._polled()
        has_torque = self._modes.mode in (ArmMode.ARMED, ArmMode.RUNNING, ArmMode.HOLD)
        found = self._health.look(numbers, now_s, has_torque=has_torque)
        self._hindrance = found.hold
        if found.fault is not None and self._modes.mode is not ArmMode.FAULT:
            self.fault(found.fault)
        if found.hold is not None and self._modes.mode is ArmMode.RUNNING:
            self.hold()

    def _polled(self) -> dict[str, list[int]]:
        """What does not lie near the positions; nothing if the bus does not answer, which the next reading tells."""
        far = [name for name in _VITALS if name not in self._near]
        try:
            return {name: self._ticks(name) for name in far}
        except BusError:
            return {}

    def _require_health(self) -> None:
        vitals = {name: self._ticks(name) for name in _VITALS if name != "torque_enable"}
        found = self._health.look(vitals, self._clock.now(), has_torque=False)
        self._hindrance = found.hold
        if found.hold or found.fault:
            raise ArmError(f"{self._config.name} is not enabled: {found.fault or found.hold}")

    def _tripped(self) -> list[str]:
        """The servos whose watchdog has stopped them."""
        if self._model.watchdog_unit_s is None:
            return []
        return [name for name, id in self._named() if self._read(id, "bus_watchdog") == _TRIPPED]

    # ------------------------------------------------------------------ servos

    @property
    def _near(self) -> list[str]:
        """What lies so near to positions that one question fetches it with them."""
        registers = self._model.registers
        here = registers["present_position"].address
        names = ("present_position", "present_velocity", self._model.load_register, *_VITALS)
        return [name for name in names if abs(registers[name].address - here) < NEAR_BYTES]

    def _named(self) -> list[tuple[str, int]]:
        return [
            *((joint.name, joint.id) for joint in self._calibration.joints),
            ("gripper", self._calibration.gripper.id),
        ]

    def _read(self, id: int, register: str) -> int:
        return _tried(lambda: self._bus.read(id, self._model.registers[register]))

    def _write(self, id: int, register: str, value: int) -> None:
        _tried(lambda: self._bus.write(id, self._model.registers[register], value))

    def _ticks(self, register: str) -> list[int]:
        return _tried(lambda: self._bus.sync_read(self._model, [register], self._calibration.ids)[register])

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
            for id in self._calibration.ids:
                self._write(id, "bus_watchdog", _OFF)
                self._write(id, "bus_watchdog", max(1, min(127, round(self._config.watchdog_s / unit_s))))

    def _stop_watchdog(self) -> None:
        """For every servo that can be reached, whatever becomes of another."""
        if self._model.watchdog_unit_s is None:
            return
        for name, id in self._named():
            try:
                self._write(id, "bus_watchdog", _OFF)
            except BusError as error:
                logger.warning("%s: the watchdog of %s goes on: %s", self._config.name, name, error)


def _tried[T](ask: Callable[[], T]) -> T:
    """An answer, asked for once more if the first is late or broken: no question here does more when put twice."""
    for _ in range(ATTEMPTS - 1):
        try:
            return ask()
        except BusError as error:
            if error.wrong is Wrong.REFUSED:
                raise
    return ask()


def _spec(model: ServoModel, calibration: Calibration, config: ServoArmConfig) -> ArmSpec:
    number = len(calibration.joints)
    motion = {
        "max_speed_rad_s": config.max_speed_rad_s,
        "max_acceleration_rad_s2": config.max_acceleration_rad_s2 or (SERVO_ACCELERATION_RAD_S2,) * number,
        "max_jerk_rad_s3": config.max_jerk_rad_s3 or (SERVO_JERK_RAD_S3,) * number,
    }
    for name, values in motion.items():
        if len(values) != number:
            raise ConfigError(f"{config.name}: {name} has {len(values)} numbers, the calibration {number} joints")
    for name, _ in config.expected:
        if name not in model.registers:
            raise ConfigError(f"{config.name}: {model.name} has no register '{name}'")
    low, high = calibration.limits(model)
    return ArmSpec(
        name=config.name,
        joints=tuple(joint.name for joint in calibration.joints),
        position_low=low,
        position_high=high,
        max_speed=np.array(motion["max_speed_rad_s"], np.float64),
        max_acceleration=np.array(motion["max_acceleration_rad_s2"], np.float64),
        max_jerk=np.array(motion["max_jerk_rad_s3"], np.float64),
        gripper_low_m=0.0,
        gripper_high_m=calibration.gripper.opening_m,
        rate_hz=config.rate_hz,
    )
