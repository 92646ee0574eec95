"""`vla compare`: which of two evaluated policies is better; a table, and compare.json and compare.html if asked for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import MISSING
from rich import box
from rich.console import Console
from rich.table import Table

from vla import cli
from vla.errors import ConfigError
from vla.files import write_atomically
from vla_sim.comparison import better, compare, errors_could_change, read_report
from vla_sim.pages import Inlining, page_environment
from vla_sim.side_by_side import KINDS, NO_FILMS, SideBySide, for_page, side_by_side

TEMPLATE = "compare_template.html"


@dataclasses.dataclass
class CompareConfig:
    """Compare two reports of `vla eval`, episode by episode: difference, interval and p-value.

    Example: vla compare a=out/eval b=out/other out=out/compare
    """

    a: Path = MISSING
    """Folder of a report, or its report.json."""
    b: Path = MISSING
    """Of the other; the difference is a less b."""
    only_shared: bool = False
    """Whether to leave out episodes that one report alone has, instead of refusing."""
    out: Path | None = None
    """Folder for compare.json and compare.html; nothing is written if not given."""


def main(arguments: list[str]) -> int:
    """Run `vla compare`."""
    return cli.run("compare", CompareConfig, run, arguments)


def run(config: CompareConfig) -> int:
    """Compare, write, print; 0, whoever is better.

    Raises:
        ConfigError, DataError: if a report cannot be read, or the two are not of the same episodes.
    """
    if config.out is not None and config.out.exists() and not config.out.is_dir():
        raise ConfigError(f"out={config.out} is a file: name the folder to write into")
    a, b = read_report(config.a), read_report(config.b)
    tree = compare(a, b, only_shared=config.only_shared)
    films = side_by_side((config.a, a), (config.b, b))
    tree["films"] = [pair.to_json() for pair in films.pairs]
    tree["config"] = cli.resolved(config)
    print_table(tree)
    if config.out is not None:
        config.out.mkdir(parents=True, exist_ok=True)
        write_atomically(config.out / "compare.html", comparison_page(tree, films, config.out))
        write_atomically(config.out / "compare.json", json.dumps(tree, indent=1, allow_nan=False) + "\n")
        print(f"comparison: {config.out / 'compare.html'}")
    return 0


def comparison_page(tree: Mapping[str, Any], films: SideBySide = NO_FILMS, out: Path = Path()) -> str:
    """One HTML page that needs no other file, unless its films are too large for one.

    Args:
        films: of both policies in the same scenes.
        out: the page's folder.
    """
    environment = page_environment(percent=_percent, points=_points, p=_p)
    inlining = Inlining()
    return environment.get_template(TEMPLATE).render(
        tree=tree,
        verdict=verdict(tree),
        told_errors=told_errors(tree),
        kinds=KINDS,
        films=films,
        pairs=for_page(films, inlining, out),
        num_beside=inlining.num_beside,
        details=json.dumps({name: tree[name] for name in ("a", "b")}, indent=2),
    )


def verdict(tree: Mapping[str, Any]) -> str:
    """What the numbers say, in a sentence."""
    line = tree["overall"]
    first = better(line)
    if first is None:
        return f"No difference is shown: {_points(line['difference'])} points, p = {_p(line['p'])}."
    other = "b" if first == "a" else "a"
    return f"{first} is better than {other} by {100 * abs(line['difference']):.1f} points, p = {_p(line['p'])}."


def told_errors(tree: Mapping[str, Any]) -> str | None:
    """What the episodes that ended in errors mean for the verdict; `None` if there are none."""
    errors = tree["errors"]
    if not errors["pairs"]:
        return None
    low, high = errors["against_a"]["difference"], errors["against_b"]["difference"]
    without = f"; no pair is left of {', '.join(errors['tasks'])}" if errors["tasks"] else ""
    can = "could" if errors_could_change(tree) else "could not"
    return (
        f"{errors['pairs']} pairs are left out, for an error ({tree['a']['errors']} of a, {tree['b']['errors']} of b)"
        f"{without}. They {can} change the verdict: whatever they had come to, the difference is from "
        f"{_points(low)} to {_points(high)} points."
    )


def print_table(tree: Mapping[str, Any], console: Console | None = None) -> None:
    """Print both rates, the difference with its interval, and the p-value, by task and overall."""
    console = console or Console()
    table = Table(
        title=f"a: {tree['a']['policy']}, b: {tree['b']['policy']}, on {tree['suite']}",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("task", no_wrap=True)
    for header in ("n", "a", "b", "a - b", "only a, b", "p"):
        table.add_column(header, justify="right", no_wrap=True)
    for name, line in tree["tasks"].items():
        table.add_row(*_row(name, line))
    table.add_section()
    table.add_row(*_row("all", tree["overall"]), style="bold")
    console.print(table)
    for name, (a, b) in tree["differs_in"].items():
        console.print(f"{name}: {a} in a, {b} in b", markup=False, highlight=False)
    errors = told_errors(tree)
    if errors is not None:
        console.print(errors, markup=False)
    if any(tree["left_out"].values()):
        console.print(f"left out, without a partner: {tree['left_out']['a']} of a, {tree['left_out']['b']} of b")
    console.print(verdict(tree))


def _row(name: str, line: Mapping[str, Any]) -> tuple[str, ...]:
    """Cells; intervals stand below their numbers."""
    difference = f"{_points(line['difference'])}\n{100 * line['low']:+.0f} to {100 * line['high']:+.0f}"
    rates = (_with_interval(line["a"]), _with_interval(line["b"]))
    return name, str(line["n"]), *rates, difference, f"{line['only_a']}, {line['only_b']}", _p(line["p"])


def _with_interval(share: Mapping[str, int | float]) -> str:
    return f"{_percent(share['success'])}\n{100 * share['low']:.0f} to {100 * share['high']:.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-4 else f"{p:.1e}"
