"""What a run is, before it begins: the first line of its log, and the first part of its summary."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

import vla
from vla import cli
from vla.interfaces import Robot
from vla_robot_io.drivers import RobotChoice
from vla_robot_io.reasons import NOT_SAFETY_RATED

_PACKAGES = ("numpy", "mink", "mujoco", "torch")


def run_header(
    config: RobotChoice, robot: Robot, who: Mapping[str, Any], checkpoint: str | None = None
) -> dict[str, Any]:
    """The header of a run of this configuration.

    Args:
        who: acts, and how: `policy`, `clock`, `dry_run`, and what else only this kind of run has.
        checkpoint: SHA-256 of the policy's, if it has one.
    """
    resolved = cli.resolved(config)
    return {
        "warning": NOT_SAFETY_RATED,
        "instruction": config.instruction,
        **who,
        "robot": config.driver,
        "arm": robot.arm.spec.name,
        "joints": list(robot.arm.spec.joints),
        "action": [f"{field.name}, {field.unit}" for field in robot.embodiment.action],
        "seed": config.seed,
        "versions": versions(),
        "hashes": {
            "checkpoint": checkpoint,
            "config": cli.config_hash(resolved),
            "embodiment": robot.embodiment.fingerprint,
        },
        "config": resolved,
    }


def versions() -> dict[str, str | None]:
    """Of this project, of Python, and of the libraries that move an arm; `None` for what is not installed."""
    return {"vla": vla.__version__, "python": platform.python_version()} | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
