"""A button that any process can press, and that damage presses too."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vla_robot_io.stop_flag import StopFlag


def test_a_new_flag_is_not_pressed(tmp_path: Path) -> None:
    with contextlib.closing(StopFlag(tmp_path / "stop.flag")) as flag:
        assert not flag.is_pressed
        assert [path.name for path in tmp_path.iterdir()] == ["stop.flag"]


def test_whoever_presses_stops_everyone_who_looks(tmp_path: Path) -> None:
    with (
        contextlib.closing(StopFlag(tmp_path / "stop.flag")) as arm,
        contextlib.closing(StopFlag(tmp_path / "stop.flag")) as console,
    ):
        console.press()
        assert arm.is_pressed
        arm.release()
        assert not console.is_pressed


def test_a_pressed_flag_stays_pressed_for_those_who_open_it_later(tmp_path: Path) -> None:
    with contextlib.closing(StopFlag(tmp_path / "stop.flag")) as flag:
        flag.press()
    with contextlib.closing(StopFlag(tmp_path / "stop.flag")) as again:
        assert again.is_pressed


def test_another_process_presses_it(tmp_path: Path) -> None:
    path = tmp_path / "stop.flag"
    with contextlib.closing(StopFlag(path)) as flag:
        code = f"from vla_robot_io.stop_flag import StopFlag; StopFlag({str(path)!r}).press()"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
        assert flag.is_pressed


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"stop"),
        lambda path: path.write_bytes(b"00"),
        lambda path: path.write_bytes(b"\0"),
        lambda path: path.unlink(),
    ],
    ids=["empty", "words", "longer", "zero", "removed"],
)
def test_a_damaged_flag_counts_as_pressed(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "stop.flag"
    with contextlib.closing(StopFlag(path)) as flag:
        assert not flag.is_pressed
        damage(path)
        assert flag.is_pressed


def test_a_damaged_flag_is_mended_by_releasing_it(tmp_path: Path) -> None:
    path = tmp_path / "stop.flag"
    with contextlib.closing(StopFlag(path)) as flag:
        path.write_bytes(b"stop at once")
        flag.release()
        assert not flag.is_pressed


def test_a_flag_that_was_closed_counts_as_pressed(tmp_path: Path) -> None:
    flag = StopFlag(tmp_path / "stop.flag")
    flag.close()
    assert flag.is_pressed
