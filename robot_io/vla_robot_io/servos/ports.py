"""Which port is which: by the serial number of the adapter behind it, never by the number it was given this time.

    serial=A1B2 ─► /dev/ttyACM1

Ports that are plugged in again, or found in another order, change their numbers; goals that go to the leader, or to
another arm, were never meant for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

from vla.errors import ConfigError
from vla.libraries import require_library

PREFIX = "serial="
"""A port that is named like this, `serial=A1B2`, is found by its adapter's serial number."""


@runtime_checkable
class Port(Protocol):
    """What pyserial tells of a port."""

    device: str
    serial_number: str | None


def port_of(name: str, connected: Callable[[], Iterable[Port]] | None = None) -> str:
    """The path to open: the name itself, or for `serial=...` where the adapter of this number is now.

    Args:
        name: a path, or `serial=NUMBER`.
        connected: gives the ports of this machine; pyserial does if not given.

    Raises:
        ConfigError: if no adapter has this number, or several have.
    """
    if not name.startswith(PREFIX):
        return name
    wanted = name.removeprefix(PREFIX)
    ports = list((connected or _connected)())
    found = [port.device for port in ports if port.serial_number == wanted]
    if not found:
        there = ", ".join(f"{port.serial_number or 'no number'} at {port.device}" for port in ports) or "none"
        raise ConfigError(f"no serial port has an adapter of number '{wanted}'; connected are: {there}")
    if len(found) > 1:
        raise ConfigError(
            f"adapters at {' and '.join(found)} both have number '{wanted}': name them by their places, "
            f"/dev/serial/by-path/..."
        )
    return found[0]


def _connected() -> Iterable[Port]:
    return require_library("serial.tools.list_ports", what="a serial port", extra="robots").comports()
