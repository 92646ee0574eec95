"""The wheel holds the six packages and their data, and works away from the repository."""

from __future__ import annotations

import configparser
import importlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import vla

PACKAGES = {"vla", "vla_datasets", "vla_policies", "vla_sim", "vla_robot_io", "vla_configs"}
SOURCES = {"vla": "vla"} | {
    f"vla_{root}": f"{root}/vla_{root}" for root in ("datasets", "policies", "sim", "robot_io", "configs")
}
DATA = {".yaml", ".xml", ".html", ".json", ".safetensors", ".css", ".js", ".md", ".csv"}


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def unpacked(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere")
    wheel.extractall(folder)
    return folder


def test_the_wheel_holds_our_packages_alone(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}
    assert tops == PACKAGES


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_the_wheel_holds_every_module_and_data_file(wheel: zipfile.ZipFile, root: Path, package: str) -> None:
    source = root / SOURCES[package]
    wanted = {f"{package}/{path.relative_to(source)}" for path in source.rglob("*") if path.suffix in DATA | {".py"}}
    assert wanted - set(wheel.namelist()) == set()


def test_the_wheel_carries_the_licence(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("/licenses/LICENSE")]
    assert b"Apache License" in wheel.read(name)


def test_every_entry_point_resolves(wheel: zipfile.ZipFile) -> None:
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    parser = configparser.ConfigParser()
    parser.read_string(wheel.read(name).decode())
    assert set(parser.sections()) >= {"console_scripts", "vla.robots"}
    for section in parser.sections():
        for entry in parser[section].values():
            module, function = entry.split(":")
            assert callable(getattr(importlib.import_module(module), function))


def test_the_wheel_works_away_from_the_repository(unpacked: Path) -> None:
    code = "import vla.commands, sys; print(vla.__file__); sys.exit(vla.commands.main(['eval', '--help']))"
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=unpacked.parent, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(unpacked))
    assert "usage: vla eval" in done.stdout


def test_the_version_is_the_packages(wheel: zipfile.ZipFile) -> None:
    assert f"vla_stack-{vla.__version__}.dist-info/METADATA" in wheel.namelist()
