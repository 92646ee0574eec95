"""`vla`: the table of sub-commands."""

from __future__ import annotations

import subprocess
import sys

import pytest

import vla
from vla import commands


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(arguments) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and command.summary in text for name, command in commands.COMMANDS.items())


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["--version"]) == 0
    assert capsys.readouterr().out == f"vla {vla.__version__}\n"


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["trian"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown command 'trian'; did you mean 'train'?")


def test_a_group_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["tokens"]) == 0
    text = capsys.readouterr().out
    assert "usage: vla tokens COMMAND" in text
    assert "  tokens fit " in text
    assert "  train " not in text


def test_an_unknown_command_of_a_group_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["tokens", "repotr"]) == 2
    assert capsys.readouterr().err.startswith(
        "error: unknown command of 'vla tokens': 'repotr'; did you mean 'report'?"
    )


def test_a_command_gets_the_rest_of_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def entry(arguments: list[str]) -> int:
        seen.append(arguments)
        return 3

    monkeypatch.setattr(commands, "_resolve", lambda name: entry)
    assert commands.main(["eval", "a=1", "--help"]) == 3
    assert seen == [["a=1", "--help"]]


def test_an_interruption_while_loading_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_resolve", interrupted)
    assert commands.main(["eval"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_the_module_runs_as_the_command_does() -> None:
    done = subprocess.run([sys.executable, "-m", "vla", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"vla {vla.__version__}\n"


@pytest.mark.parametrize("command", commands.COMMANDS.values(), ids=commands.COMMANDS)
def test_every_entry_of_the_table_exists(command: commands.Command) -> None:
    module, function = command.entry.split(":")
    assert callable(getattr(pytest.importorskip(module), function))


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: vla {name} " in text
    assert "\nkeys\n" in text
