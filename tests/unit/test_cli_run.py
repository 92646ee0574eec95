"""`vla.cli.run`: what a command line does to a configuration, and what each mistake is told."""

from __future__ import annotations

import dataclasses
import enum
import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import MISSING

from vla import cli
from vla.errors import CheckpointError, ConfigError


class Pace(enum.Enum):
    SLOW = "at_ease"
    FAST = "in_haste"


@dataclasses.dataclass
class BrewConfig:
    leaves_g: int = 3
    """Dry, in grams."""
    water_c: float | None = None
    """Degrees Celsius; as it comes if null."""


@dataclasses.dataclass
class TeaConfig:
    """Make tea.

    Example: vla tea out=cup recipe=green
    """

    out: str = MISSING
    """Which cup."""
    recipe: str | None = None
    """Which recipe."""
    words: str = "drink up"
    pace: Pace = Pace.SLOW
    """How quickly."""
    minutes: float = 4.0
    cups: int = 1
    sugar: bool = False
    guests: list[str] = dataclasses.field(default_factory=list)
    """Who drinks."""
    sizes: list[int] = dataclasses.field(default_factory=lambda: [1, 2])
    brew: BrewConfig = dataclasses.field(default_factory=BrewConfig)
    shelf: Path | None = None
    extras: dict[str, Any] = dataclasses.field(default_factory=dict)


FILES = {
    "__init__.py": "",
    "tea.yaml": "defaults:\n  - _self_\n  - recipe: null\nminutes: 5\n",
    "strict.yaml": "defaults:\n  - _self_\n  - recipe: ???\n",
    "spilt.yaml": "minuets: 5\n",
    "recipe/green.yaml": "# @package _global_\nminutes: 2\npace: in_haste\nguests: cat\nbrew:\n  water_c: 70\n",
    "recipe/black.yaml": "# @package _global_\nminutes: 3\n",
}


@pytest.fixture(autouse=True, scope="module")
def sample_configs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cli") / "sample_configs"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder.parent)
        patch.setattr(cli, "CONFIG_MODULE", "sample_configs")
        yield folder


def tea(*overrides: str) -> TeaConfig:
    return cli.compose("tea", TeaConfig, ["out=cup", *overrides])


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str, command: str = "tea") -> str:
    """The one line on stderr with which the arguments are refused."""
    status = cli.run(command, TeaConfig, _never, arguments)
    captured = capsys.readouterr()
    assert status == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err.strip()


def _never(config: TeaConfig) -> int:
    raise AssertionError(f"ran with {config}")


# --------------------------------------------------------------------------- values


def test_a_dataclass_is_overridden_by_its_file() -> None:
    assert tea().minutes == 5


def test_a_file_is_overridden_by_a_group() -> None:
    assert tea("recipe=green").minutes == 2


def test_a_group_is_overridden_by_a_value_whatever_the_order() -> None:
    assert tea("minutes=9", "recipe=green").minutes == 9


def test_a_group_reaches_nested_values() -> None:
    assert tea("recipe=green").brew == BrewConfig(leaves_g=3, water_c=70)


def test_a_field_with_a_groups_name_remembers_the_choice() -> None:
    assert tea("recipe=black").recipe == "black"


def test_an_optional_group_may_be_left_out() -> None:
    assert tea().recipe is None


@pytest.mark.parametrize("text", ["in_haste", "IN_HASTE", "fast", "FAST", "Fast"])
def test_an_enum_is_chosen_by_value_or_name_in_any_case(text: str) -> None:
    assert tea(f"pace={text}").pace is Pace.FAST


def test_an_enum_is_written_by_value_in_yaml() -> None:
    assert tea("recipe=green").pace is Pace.FAST


@pytest.mark.parametrize(
    "text",
    ["runs/step=100", "pour it, then drink", "it's [not] {here}", "$HOME/a", "10", "null", "a=b=c", "été: ~", ""],
)
def test_text_is_taken_as_it_is_written(text: str) -> None:
    assert tea(f"words={text}").words == text


@pytest.mark.parametrize("text", ["'in quotes'", '"in quotes"'])
def test_one_pair_of_quotes_is_taken_off(text: str) -> None:
    assert tea(f"words={text}").words == "in quotes"


@pytest.mark.parametrize("text", ["[cat,dog]", "[cat, dog]", "cat,dog", "['cat', \"dog\"]"])
def test_a_list_is_written_with_or_without_brackets(text: str) -> None:
    assert tea(f"guests={text}").guests == ["cat", "dog"]


def test_one_value_is_a_list_of_one() -> None:
    assert tea("guests=out/a=b").guests == ["out/a=b"]


def test_one_value_in_yaml_is_a_list_of_one() -> None:
    assert tea("recipe=green").guests == ["cat"]


def test_a_list_may_be_empty() -> None:
    assert tea("guests=[]").guests == []


def test_a_list_of_numbers_holds_numbers() -> None:
    assert tea("sizes=[3,4]").sizes == [3, 4]


def test_a_nested_value_is_named_with_a_dot() -> None:
    assert tea("brew.leaves_g=7").brew.leaves_g == 7


def test_an_optional_value_may_be_null() -> None:
    assert tea("recipe=green", "brew.water_c=null").brew.water_c is None


def test_a_number_may_be_written_with_an_exponent() -> None:
    assert tea("minutes=1e-3").minutes == 1e-3


def test_a_truth_value_is_read_from_text() -> None:
    assert tea("sugar=true").sugar is True


def test_a_path_is_a_path() -> None:
    assert tea("shelf=a/b").shelf == Path("a/b")


def test_a_mapping_is_read_as_yaml() -> None:
    assert tea("extras={milk: 2, kind: oat}").extras == {"milk": 2, "kind": "oat"}


def test_the_last_of_two_values_wins() -> None:
    assert tea("cups=2", "cups=3").cups == 3


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("cpus=3", "unknown option 'cpus'; did you mean 'cups'?"),
        ("brew.leafs_g=3", "unknown option 'brew.leafs_g'; did you mean 'brew.leaves_g'?"),
        ("recipe=geen", "unknown recipe 'geen'; did you mean 'green'? (choices: black, green)"),
        ("pace=in_hast", "unknown pace 'in_hast'; did you mean 'in_haste'? (choices: at_ease, in_haste)"),
        ("cups=many", "cups=many: expected int, got 'many'"),
        ("cups=1.5", "cups=1.5: expected int, got '1.5'"),
        ("sugar=perhaps", "sugar=perhaps: expected bool, got 'perhaps'"),
        ("minutes=null", "minutes=null: expected float, got 'null'"),
        ("sizes=[1,x]", "sizes=[1,x]: expected [int, ...], got '[1,x]'"),
        ("brew.water_c=hot", "brew.water_c=hot: expected float | null, got 'hot'"),
        ("brew=3", "brew has several values, give each by its name: brew.leaves_g, brew.water_c"),
        ("cups", "expected key=value, got 'cups'"),
        ("--hlep", "unknown flag '--hlep'; did you mean '--help'?"),
    ],
)
def test_a_mistake_is_one_line_with_the_nearest_choice(
    capsys: pytest.CaptureFixture[str], argument: str, message: str
) -> None:
    assert message in refusal(capsys, "out=cup", argument)


def test_a_needed_value_is_named_with_its_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys) == "error: 'vla tea' needs out=<str>: Which cup"


def test_everything_that_is_needed_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    expected = "error: 'vla tea' needs out=<str>: Which cup; also cups, brew.leaves_g"
    assert refusal(capsys, "cups=???", "brew.leaves_g=???") == expected


def test_a_needed_group_is_named_with_its_choices(capsys: pytest.CaptureFixture[str]) -> None:
    expected = "error: 'vla strict' needs recipe=... (choices: black, green)"
    assert refusal(capsys, "out=cup", command="strict") == expected


def test_an_unknown_key_in_a_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown option 'minuets'; did you mean 'minutes'?" in refusal(capsys, "out=cup", command="spilt")


# --------------------------------------------------------------------------- running


def test_the_body_gets_the_configuration_and_gives_the_exit_status() -> None:
    assert cli.run("tea", TeaConfig, lambda config: config.cups, ["out=cup", "cups=3"]) == 3


def test_a_body_without_a_word_succeeded() -> None:
    assert cli.run("tea", TeaConfig, lambda config: None, ["out=cup"]) == 0


def test_an_error_of_ours_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def body(config: TeaConfig) -> None:
        raise CheckpointError("the cup is broken")

    assert cli.run("tea", TeaConfig, body, ["out=cup"]) == 2
    assert capsys.readouterr().err == "error: the cup is broken\n"


def test_an_interruption_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def body(config: TeaConfig) -> None:
        raise KeyboardInterrupt

    assert cli.run("tea", TeaConfig, body, ["out=cup"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_bug_keeps_its_traceback() -> None:
    def body(config: TeaConfig) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli.run("tea", TeaConfig, body, ["out=cup"])


def test_hydra_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workplace = tmp_path / "workplace"
    workplace.mkdir()
    monkeypatch.chdir(workplace)
    tea("recipe=green")
    assert list(workplace.iterdir()) == []
    assert not GlobalHydra.instance().is_initialized()


# --------------------------------------------------------------------------- showing


def test_a_reader_who_stops_reading_is_no_error() -> None:
    code = "import sys; from vla.commands import main; sys.exit(main(['collect', '--help']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_help_tells_what_each_key_means(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("tea", TeaConfig, _never, ["--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Make tea.")
    assert "Example: vla tea out=cup recipe=green" in text
    assert "  out: str  (needed)\n      Which cup." in text
    assert '  pace: at_ease | in_haste  (default "at_ease")\n      How quickly.' in text
    assert "  brew.leaves_g: int  (default 3)\n      Dry, in grams." in text
    assert "  recipe: black | green  (default null)\n      Which recipe." in text


def test_help_needs_no_needed_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("strict", TeaConfig, _never, ["-h"]) == 0
    assert "  recipe: black | green  (needed)" in capsys.readouterr().out


def test_the_shown_configuration_composes_to_itself(capsys: pytest.CaptureFixture[str], sample_configs: Path) -> None:
    arguments = ["out=cup", "recipe=green", "sizes=[7]"]
    assert cli.run("tea", TeaConfig, _never, [*arguments, "--show-config"]) == 0
    (sample_configs / "shown.yaml").write_text(capsys.readouterr().out)
    assert cli.compose("shown", TeaConfig) == cli.compose("tea", TeaConfig, arguments)


def test_a_resolved_configuration_is_plain_json() -> None:
    plain = cli.resolved(tea("pace=fast", "shelf=a/b"))
    assert json.loads(json.dumps(plain)) == plain
    assert plain["pace"] == "in_haste"
    assert plain["brew"] == {"leaves_g": 3, "water_c": None}
    assert plain["shelf"] == "a/b"


def test_a_hash_stands_for_the_values_alone() -> None:
    plain = cli.resolved(tea())
    assert cli.config_hash(plain) == cli.config_hash(dict(reversed(plain.items())))
    assert cli.config_hash(plain) != cli.config_hash(cli.resolved(tea("cups=2")))


def test_a_file_that_does_not_compose_is_named() -> None:
    with pytest.raises(ConfigError, match="no file 'milk' in sample_configs"):
        cli.compose("milk", TeaConfig)


def _refused_by_the_system(kind: type[OSError], number: int, path: str | None) -> Callable[[TeaConfig], None]:
    def body(config: TeaConfig) -> None:
        raise kind(number, os.strerror(number), path)

    return body


@pytest.mark.parametrize(
    ("number", "path", "told"),
    [
        (errno.ENOSPC, None, "error: No space left on device\n"),
        (errno.ENOSPC, "cup/tea", "error: cup/tea: No space left on device\n"),
        (errno.EACCES, "cup", "error: cup: Permission denied\n"),
        (errno.ENOTDIR, "README.md/cup", "error: README.md/cup: Not a directory\n"),
    ],
)
def test_a_disk_or_folder_that_cannot_be_used_is_one_line(
    number: int, path: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    body = _refused_by_the_system(OSError, number, path)
    assert cli.run("tea", TeaConfig, body, ["out=cup"]) == 2
    assert capsys.readouterr().err == told


def test_what_a_system_says_of_something_else_is_a_bug() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        cli.run("tea", TeaConfig, _refused_by_the_system(OSError, errno.EBADF, None), ["out=cup"])


def test_a_value_behind_dashes_is_told_how_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("tea", TeaConfig, lambda config: None, ["out=cup", "--cups=3"]) == 2
    assert capsys.readouterr().err == "error: expected key=value without dashes: cups=3, got '--cups=3'\n"


@pytest.mark.parametrize("argument", ["out=", "shelf="])
def test_a_file_or_folder_needs_a_name(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    others = [] if argument == "out=" else ["out=cup"]
    assert cli.run("tea", TeaConfig, lambda config: None, [argument, *others]) == 2
    assert "is empty" in capsys.readouterr().err


def test_a_reader_that_stops_reading_ends_a_command_quietly() -> None:
    code = (
        "import sys; from vla import cli; from vla_datasets.upkeep.info_command import InfoConfig;"
        "sys.exit(cli.run('data info', InfoConfig, lambda config: print('x' * 9_000_000), ['data=d']))"
    )
    command = f'{sys.executable} -c "{code}" | head -c 1; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("x141\n", "")
