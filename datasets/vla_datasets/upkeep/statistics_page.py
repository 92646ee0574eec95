"""Statistics of stores as a table on the screen, and as one HTML page with a histogram of each field."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib import resources

import jinja2
from rich.console import Console
from rich.table import Table

from vla.embodiment import Field
from vla.normalization import Statistics
from vla_datasets.upkeep.charts import HEIGHT, WIDTH, Histogram, histogram, rounded
from vla_datasets.upkeep.statistics_of_stores import BodyStatistics

TEMPLATE = "statistics_template.html"


@dataclasses.dataclass(frozen=True)
class Row:
    """One field's figures, as text but for its chart."""

    name: str
    unit: str
    limits: str
    figures: list[str]
    """Mean, deviation, least, greatest, then each quantile."""
    chart: Histogram


def statistics_page(bodies: Sequence[BodyStatistics]) -> str:
    """One HTML page that needs no other file.

    Args:
        bodies: with their values.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    text = (resources.files("vla_datasets") / "upkeep" / TEMPLATE).read_text(encoding="utf-8")
    template = environment.from_string(text)
    return template.render(
        bodies=[(body, [(what, _rows(fields, found)) for what, fields, found in _both(body)]) for body in bodies],
        levels=bodies[0].actions.levels,
        width=WIDTH,
        height=HEIGHT,
    )


_WIDE = 140


def print_statistics(body: BodyStatistics, console: Console | None = None) -> None:
    """Print a row for each field."""
    console = console or Console()
    title = f"{body.embodiment.name}: {body.episodes} episodes, {body.steps} steps of {', '.join(body.stores)}"
    table = Table(title=title, title_justify="left")
    headers = ["mean", "deviation", "min", "max", *(f"q{level:g}" for level in body.actions.levels)]
    # A narrow window shows what fits; the files have it all.
    shown = range(len(headers)) if console.width >= _WIDE else [0, 1, 2, 3]
    for header in ("field", "unit"):
        table.add_column(header)
    for column in shown:
        table.add_column(headers[column], justify="right")
    for _, fields, found in _both(body):
        table.add_section()
        for index, field in enumerate(fields):
            figures = _figures(field, found, index)
            table.add_row(field.name, field.unit, *(figures[column] for column in shown))
    console.print(table)


def _both(body: BodyStatistics) -> list[tuple[str, tuple[Field, ...], Statistics]]:
    return [
        ("action", body.embodiment.action, body.actions),
        ("proprioception", body.embodiment.proprioception, body.proprioception),
    ]


def _rows(fields: Sequence[Field], found: Statistics) -> list[Row]:
    assert found.distributions is not None
    return [
        Row(
            name=field.name,
            unit=field.unit,
            limits=f"{field.low:.4g} to {field.high:.4g}",
            figures=_figures(field, found, index),
            chart=histogram(field, distribution, found.quantiles[:, index]),
        )
        for index, (field, distribution) in enumerate(zip(fields, found.distributions, strict=True))
    ]


def _figures(field: Field, found: Statistics, index: int) -> list[str]:
    own = (found.mean, found.deviation, found.low, found.high, *found.quantiles)
    return [rounded(field, float(values[index])) for values in own]
