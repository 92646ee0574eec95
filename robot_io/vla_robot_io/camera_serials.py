"""Which camera is which: by the serial number that it has, never by the number that the kernel gave it this time.

    /sys/class/video4linux/video2/device/../serial  ─►  /dev/video2

Cameras that are plugged in again, or found in another order after a restart, change their numbers; a wrist camera taken
for the scene's shows a policy another world.
"""

from __future__ import annotations

from pathlib import Path

from vla.errors import ConfigError

PREFIX = "serial="
"""A device that is named like this, `serial=A1B2`, is found by its serial number."""
SYSTEM = Path("/sys/class/video4linux")


def device_of(name: int | str, system: Path = SYSTEM) -> int | str:
    """What to open: the name itself, or for `serial=...` the path of the camera that has this number now.

    Args:
        system: where the kernel lists its video devices.

    Raises:
        ConfigError: if there is no such camera, or more than one.
    """
    if not isinstance(name, str) or not name.startswith(PREFIX):
        return name
    wanted = name.removeprefix(PREFIX)
    found = [(serial, device) for serial, device in connected_cameras(system) if serial == wanted]
    if not found:
        there = ", ".join(f"{serial} at {device}" for serial, device in connected_cameras(system)) or "none"
        raise ConfigError(f"there is no camera with serial number '{wanted}'; connected are: {there}")
    if len(found) > 1:
        places = " and ".join(device for _, device in found)
        raise ConfigError(
            f"{places} both have serial number '{wanted}': name them by their places, /dev/v4l/by-path/..."
        )
    return found[0][1]


def connected_cameras(system: Path = SYSTEM) -> list[tuple[str, str]]:
    """Serial number and path of every camera that has one, the first stream of each."""
    entries = sorted(system.glob("video*")) if system.is_dir() else []
    return [(serial, f"/dev/{entry.name}") for entry in entries if _is_first(entry) and (serial := _serial(entry))]


def _is_first(entry: Path) -> bool:
    """A camera has nodes for its pictures and for what is told about them; the first is for pictures."""
    return _text(entry / "index") in ("", "0")


def _serial(entry: Path) -> str:
    return _text((entry / "device").resolve().parent / "serial")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
