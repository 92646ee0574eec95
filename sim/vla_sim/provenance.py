"""What a report must say besides its numbers: which code, which machine, which pictures."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.resources
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import vla
from vla_sim.worlds.rendering import RENDER_SETTINGS

_CODE = ("vla", "vla_datasets", "vla_policies", "vla_sim")
_SOURCES = (".py", ".xml", ".yaml", ".json", ".jsonl")
_PACKAGES = ("numpy", "torch", "mujoco", "mink", "gymnasium")


def versions(more: Sequence[str] = ()) -> dict[str, str | None]:
    """Of this project, its commit if it is a checkout, Python, and the libraries that an outcome depends on.

    Args:
        more: packages that this very outcome depends on.
    """
    found = {name: importlib.metadata.version(name) for name in (*_PACKAGES, *more)}
    return {"vla": vla.__version__, "commit": _commit(), "python": platform.python_version(), **found}


@functools.cache
def code_hash() -> str:
    """Sixteen hexadecimal digits of every source file that an outcome can depend on, committed or not."""
    digest = hashlib.sha256()
    for package in _CODE:
        root = Path(str(importlib.resources.files(package)))
        for path in sorted(path for path in root.rglob("*") if path.suffix in _SOURCES):
            digest.update(f"{package}/{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def hardware() -> dict[str, str | int | None]:
    """The processor, its cores, and the GPU if torch was at work and sees one."""
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
    return {"cpu": _processor(), "cores": os.cpu_count(), "gpu": gpu, "system": platform.platform()}


def render_settings() -> dict[str, object]:
    """How pictures are made."""
    return {**RENDER_SETTINGS, "gl": os.environ.get("MUJOCO_GL", "egl")}


def _commit() -> str | None:
    """The commit of the checkout this file lies in, with `+` if it was changed; `None` outside of one."""
    folder = Path(__file__).parent
    if not (folder.parent.parent / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*", "--abbrev=12"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
