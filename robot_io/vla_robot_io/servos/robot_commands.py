"""`vla robot scan`, `check` and `calibrate`: what is on a bus, whether it is well, and what its ticks mean.

None of them moves anything: torque stays off, or as it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from omegaconf import MISSING
from rich.console import Console
from rich.live import Live
from rich.table import Table

from vla import cli
from vla.clock import RealClock
from vla.errors import ArmError, ConfigError, unknown
from vla_robot_io.reasons import NOT_SAFETY_RATED
from vla_robot_io.servos.bus import BusError, SerialWire, ServoBus
from vla_robot_io.servos.calibration import Calibration, GripperCalibration, JointCalibration
from vla_robot_io.servos.emulator import EmulatedServos, LoopbackWire
from vla_robot_io.servos.packets import DIALECTS
from vla_robot_io.servos.registers import MODELS, ServoModel, error_words

EMULATED = "emulated"
"""A port of this name is a bus of emulated servos, to try the commands."""
BAUDS = {"feetech": (1_000_000, 500_000, 115_200), "dynamixel": (1_000_000, 57_600, 3_000_000)}
"""Those that servos come with, or are set to, most often; by dialect."""
_EMULATED_IDS = (1, 2, 3, 4, 5, 6)
_HOT_C = 65


@dataclasses.dataclass
class ScanConfig:
    """Look for servos on a port, at every usual speed. Nothing is moved or written.

    Example: vla robot scan port=/dev/ttyACM0
    """

    port: str = MISSING
    """Serial port, `serial=NUMBER` of the adapter behind it, or `emulated`."""
    model: str = "sts3215"
    """Of the servos; says what they speak."""
    highest_id: int = 20
    """Ids from 1 to this are asked."""


@dataclasses.dataclass
class CheckConfig:
    """Read what each servo says of itself: model, voltage, temperature, errors, place. Nothing is moved or written.

    Example: vla robot check port=/dev/ttyACM0 ids=[1,2,3,4,5,6]
    """

    port: str = MISSING
    """Serial port, `serial=NUMBER` of the adapter behind it, or `emulated`."""
    ids: list[int] = dataclasses.field(default_factory=lambda: list(_EMULATED_IDS))
    """Of the servos."""
    model: str = "sts3215"
    """That they should be."""
    baud: int = 1_000_000
    """Of the port."""
    calibration: Path | None = None
    """To tell whether each joint stands inside its range."""


@dataclasses.dataclass
class CalibrateConfig:
    """Find out what the ticks of an arm's servos mean, by your hand: torque off, move each joint, press Enter.

    Example: vla robot calibrate port=/dev/ttyACM0 out=so101.json
    """

    port: str = MISSING
    """Serial port, or `serial=NUMBER` of the adapter behind it."""
    out: Path = MISSING
    """The calibration file."""
    ids: list[int] = dataclasses.field(default_factory=lambda: list(_EMULATED_IDS))
    """Of the joints, from the base on, and of the gripper last."""
    joints: list[str] = dataclasses.field(default_factory=list)
    """Their names; joint_1, joint_2, ... if empty."""
    reversed: list[str] = dataclasses.field(default_factory=list)
    """Joints whose angle grows where ticks fall."""
    opening_m: float = 0.07
    """Between the fingers when the gripper is open."""
    model: str = "sts3215"
    """Of the servos."""
    baud: int = 1_000_000
    """Of the port."""


def scan_main(arguments: Sequence[str]) -> int:
    """Run `vla robot scan`."""
    return cli.run("robot scan", ScanConfig, scan, arguments)


def check_main(arguments: Sequence[str]) -> int:
    """Run `vla robot check`."""
    return cli.run("robot check", CheckConfig, check, arguments)


def calibrate_main(arguments: Sequence[str]) -> int:
    """Run `vla robot calibrate`."""
    return cli.run("robot calibrate", CalibrateConfig, calibrate, arguments)


# --------------------------------------------------------------------------- scan


def scan(config: ScanConfig) -> int:
    """Print what answers; 0, or 3 if nothing does."""
    model = _model(config.model)
    total = 0
    for baud in BAUDS[model.dialect]:
        with _bus(config.port, baud, model) as bus:
            found = bus.scan(range(1, config.highest_id + 1))
            total += len(found)
            for id in found:
                print(
                    f"{config.port} at {baud} baud: servo {id}, {_model_name(bus.read(id, model.registers['model']))}"
                )
        if config.port == EMULATED:
            break
    if not total:
        print(
            f"nothing answers at {config.port}: is the power on, is it the right port, is model={config.model} right?"
        )
    return 0 if total else 3


def _model_name(number: int) -> str:
    return next((model.name for model in MODELS.values() if model.number == number), f"model {number}, unknown here")


# --------------------------------------------------------------------------- check


def check(config: CheckConfig) -> int:
    """Print a table of the servos; 0, or 3 if something is wrong with one."""
    model = _model(config.model)
    calibration = None if config.calibration is None else Calibration.load(config.calibration)
    table = Table("servo", "model", "place", "voltage", "temperature", "torque", "wrong")
    wrong = 0
    with _bus(config.port, config.baud, model) as bus:
        for id in config.ids:
            cells, faults = _servo(bus, model, id, calibration)
            wrong += bool(faults)
            table.add_row(str(id), *cells, "; ".join(faults))
    Console().print(table)
    return 3 if wrong else 0


def _servo(bus: ServoBus, model: ServoModel, id: int, calibration: Calibration | None) -> tuple[list[str], list[str]]:
    """The cells of one servo, and what is wrong with it."""

    def read(name: str) -> int:
        return bus.read(id, model.registers[name])

    try:
        number, place, hot = read("model"), read("present_position"), read("present_temperature")
        volts, torque = read("present_voltage") * model.volts_per_unit, read("torque_enable")
        faults = error_words(model.dialect, read("hardware_error"))
    except BusError as error:
        return [""] * 5, [str(error)]
    if number != model.number:
        faults.append(f"expected {model.name}")
    if hot >= _HOT_C:
        faults.append("hot")
    faults += _outside(calibration, id, place)
    return [_model_name(number), str(place), f"{volts:.1f} V", f"{hot} °C", "on" if torque else "off"], faults


def _outside(calibration: Calibration | None, id: int, place: int) -> list[str]:
    joints = () if calibration is None else calibration.joints
    return [
        f"{joint.name} is outside its range of {joint.low} to {joint.high}"
        for joint in joints
        if joint.id == id and not joint.low <= place <= joint.high
    ]


# --------------------------------------------------------------------------- calibrate


def calibrate(
    config: CalibrateConfig,
    ask: Callable[[str], object] = input,
    open_bus: Callable[[str, int, ServoModel], contextlib.AbstractContextManager[ServoBus]] | None = None,
) -> int:
    """Ask a person to move the arm, and write what that says.

    Args:
        ask: shows a sentence and waits for Enter.
        open_bus: for tests.

    Raises:
        ConfigError: if the names and ids do not fit each other, or a joint was hardly moved.
        ArmError: if a servo has torque, so that it cannot be moved by hand.
    """
    model = _model(config.model)
    names = config.joints or [f"joint_{number}" for number in range(1, len(config.ids))]
    if len(names) != len(config.ids) - 1 or len(config.ids) < 2:
        raise ConfigError(f"ids are those of {len(names)} joints and then the gripper's, got {len(config.ids)} ids")
    for name in config.reversed:
        if name not in names:
            raise unknown("joint", name, names)
    Console(stderr=True).print(f"[bold yellow]{NOT_SAFETY_RATED}[/]")
    with (open_bus or _bus)(config.port, config.baud, model) as bus:
        _require_no_torque(bus, model, config.ids)
        ask("Move the arm to the pose in which every joint is at zero, the gripper closed, and press Enter. ")
        zeros = _places(bus, model, config.ids)
        ask("Press Enter, then move every joint from end to end, the gripper too; Enter again ends it. ")
        low, high = _ranges(bus, model, config.ids, ask)
    calibration = Calibration(
        tuple(
            JointCalibration(name, id, zero, -1 if name in config.reversed else 1, lowest, highest)
            for name, id, zero, lowest, highest in zip(names, config.ids, zeros, low, high, strict=False)
        ),
        _gripper(config.ids[-1], zeros[-1], low[-1], high[-1], config.opening_m),
    )
    calibration.save(config.out)
    print(f"wrote {config.out}; look at it with: vla robot check port={config.port} calibration={config.out}")
    return 0


def _gripper(id: int, closed: int, low: int, high: int, opening_m: float) -> GripperCalibration:
    """Open is the end that is farther from closed."""
    opened = high if high - closed >= closed - low else low
    return GripperCalibration(id, closed, opened, opening_m)


def _require_no_torque(bus: ServoBus, model: ServoModel, ids: Sequence[int]) -> None:
    stiff = [str(id) for id in ids if bus.read(id, model.registers["torque_enable"])]
    if stiff:
        raise ArmError(f"servos {', '.join(stiff)} have torque: support the arm, take its power away, and begin again")


def _places(bus: ServoBus, model: ServoModel, ids: Sequence[int]) -> list[int]:
    return bus.sync_read(model, ["present_position"], ids)["present_position"]


def _ranges(
    bus: ServoBus, model: ServoModel, ids: Sequence[int], ask: Callable[[str], object]
) -> tuple[list[int], list[int]]:
    """The lowest and highest ticks of each servo until Enter is pressed."""
    places = _places(bus, model, ids)
    low, high = list(places), list(places)
    with _pressed(ask) as is_over, Live(console=Console(stderr=True), refresh_per_second=8) as live:
        while True:
            over = is_over()
            places = _places(bus, model, ids)
            low, high = list(map(min, low, places)), list(map(max, high, places))
            table = Table("servo", "lowest", "now", "highest")
            for row in zip(ids, low, places, high, strict=True):
                table.add_row(*map(str, row))
            live.update(table)
            if over:
                return low, high
            time.sleep(0.02)


@contextlib.contextmanager
def _pressed(ask: Callable[[str], object]) -> Iterator[Callable[[], bool]]:
    """Whether Enter was pressed since."""
    import threading

    thread = threading.Thread(target=ask, args=("",), daemon=True)
    thread.start()
    yield lambda: not thread.is_alive()


# --------------------------------------------------------------------------- the bus


def _model(name: str) -> ServoModel:
    if name not in MODELS:
        raise unknown("model of servos", name, MODELS)
    return MODELS[name]


@contextlib.contextmanager
def _bus(port: str, baud: int, model: ServoModel) -> Iterator[ServoBus]:
    dialect = DIALECTS[model.dialect]
    if port == EMULATED:
        yield ServoBus(LoopbackWire(EmulatedServos(model, dialect, _EMULATED_IDS, RealClock())), dialect)
        return
    try:
        wire = SerialWire(port, baud)
    except OSError as error:
        raise ConfigError(f"port={port}: {error}") from error
    with contextlib.closing(wire):
        yield ServoBus(wire, dialect)
