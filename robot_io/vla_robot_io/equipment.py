"""What an arm's owner has to name before it becomes a robot: its embodiment and its cameras."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla.clock import RealClock
from vla.embodiment import CameraSpec, Embodiment
from vla.errors import ConfigError
from vla.interfaces import Clock
from vla_robot_io.camera_process import CameraProcess
from vla_robot_io.late_camera import LateCamera
from vla_robot_io.opencv_camera import OpenCvCamera


def require_options(what: str, options: Mapping[str, object]) -> None:
    """Return if every one of these was given.

    Args:
        what: needs them: `an arm at /dev/ttyACM0`.

    Raises:
        ConfigError: naming those that were not.
    """
    missing = [name for name, value in options.items() if not value]
    if missing:
        raise ConfigError(f"{what} needs options {', '.join(missing)}")


def read_embodiment(path: Path) -> Embodiment:
    """The embodiment in a JSON file, or of the checkpoint in a folder.

    Raises:
        ConfigError: if there is none.
    """
    file = path / "checkpoint.json" if path.is_dir() else path
    try:
        tree = json.loads(file.read_bytes())
        return Embodiment.from_json(tree.get("embodiment", tree))
    except OSError as error:
        raise ConfigError(f"embodiment={path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file} holds no embodiment: {error}") from error


def late_cameras(body: Embodiment, devices: Mapping[str, Any], clock: Clock) -> tuple[LateCamera, ...]:
    """The cameras of an embodiment, a number, a path or a video file each; opened when they are first looked through.

    Each is read in a process of its own then; by a virtual clock in this one, for another process knows nothing of it.

    Raises:
        ConfigError: if they are not those of the embodiment.
    """
    names = [camera.name for camera in body.cameras]
    if sorted(devices) != sorted(names):
        raise ConfigError(f"cameras of {body.name} are {', '.join(names)}; got {', '.join(devices)}")
    return tuple(_late(spec, devices[spec.name], clock) for spec in body.cameras)


def _late(spec: CameraSpec, device: Any, clock: Clock) -> LateCamera:
    if isinstance(clock, RealClock):
        return LateCamera(spec.name, lambda: CameraProcess(spec, device))
    return LateCamera(spec.name, lambda: OpenCvCamera(spec, device, clock))
