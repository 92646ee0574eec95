"""The comparison of tokenizers on disk and on the screen: tokens.json, one self-contained page, a table.

{"bins": {"tokens_mean": 32.0, ...}, "fast": {...}, ..., "about": {"data": ..., "versions": ...}}
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from rich.console import Console
from rich.table import Table

import vla
from vla.files import write_atomically
from vla.tokens.files import fingerprint
from vla_policies.tokens_charts import EXAMPLE_QUANTILE, error_histogram, example, rate_distortion, token_histogram
from vla_policies.tokens_measures import NOISE, Compared, Measures

TEMPLATE = "tokens_template.html"

_PACKAGES = ("numpy", "tokenizers")


def write_report(out: Path, compared: Compared, config: Mapping[str, Any]) -> None:
    """Write tokens.html and tokens.json into a folder, each whole or not at all, the JSON last."""
    tree = report_tree(compared, config)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "tokens.html", report_page(compared, tree))
    write_atomically(out / "tokens.json", json.dumps(tree, indent=1, allow_nan=False) + "\n")


def report_page(compared: Compared, tree: Mapping[str, Any]) -> str:
    """One HTML page that needs no other file.

    Args:
        tree: what `report_tree` gives.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["percent"] = _percent
    template = environment.from_string((resources.files("vla_policies") / TEMPLATE).read_text(encoding="utf-8"))
    longest = max(tokenizer.max_tokens for tokenizer in compared.tokenizers.values())
    return template.render(
        about=tree["about"],
        measures={name: tree[name] for name in compared.measured},
        horizon=compared.data.chunks.shape[1],
        fields=[field.name for field in compared.data.embodiment.action],
        vocabulary=compared.vocabulary,
        plane=rate_distortion(compared),
        histograms=[(name, token_histogram(m, longest), error_histogram(m)) for name, m in compared.measured.items()],
        example=example(compared),
        example_quantile=EXAMPLE_QUANTILE,
        details=json.dumps({name: value for name, value in tree["about"].items() if name != "prefixes"}, indent=2),
    )


def _percent(share: float, digits: int = 2) -> str:
    return f"{100 * share:.{digits}f} %"


def report_tree(compared: Compared, config: Mapping[str, Any]) -> dict[str, Any]:
    """All figures, by tokenizer, and beside them `about`: of what, by whom, how."""
    tree: dict[str, Any] = {name: dataclasses.asdict(m.measures) for name, m in compared.measured.items()}
    return tree | {"about": _about(compared, config)}


def _about(compared: Compared, config: Mapping[str, Any]) -> dict[str, Any]:
    data, fields = compared.data, compared.data.embodiment.action
    return {
        "data": {
            "stores": list(data.stores),
            "sha256": data.sha256,
            "embodiment": data.embodiment.name,
            "episodes": data.num_episodes,
            "episodes_held_out": compared.held_out.num_episodes,
            "chunks_fitted_to": len(compared.fitted_to.chunks),
            "chunks_held_out": len(compared.held_out.chunks),
        },
        "ranges": {
            field.name: {"unit": field.unit, "low": low, "high": high, "clipped": clipped}
            for field, low, high, clipped in zip(
                fields,
                compared.ranges.low.tolist(),
                compared.ranges.high.tolist(),
                compared.clipped.tolist(),
                strict=True,
            )
        },
        "clipped": float(compared.clipped.mean()),
        "noise": NOISE,
        "seed": compared.seed,
        "prefixes": {
            name: [dataclasses.asdict(prefix) for prefix in measured.prefixes]
            for name, measured in compared.measured.items()
            if measured.prefixes
        },
        "fit_seconds": {name: round(seconds, 3) for name, seconds in compared.fit_s.items()},
        "fingerprints": {name: fingerprint(tokenizer) for name, tokenizer in compared.tokenizers.items()},
        "versions": versions(),
        "config": dict(config),
    }


def versions() -> dict[str, str]:
    """Of this project, Python, and the libraries that a tokenizer depends on."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"vla": vla.__version__, "python": platform.python_version(), **found}


def print_table(compared: Compared, out: Path, console: Console | None = None) -> None:
    """Print the figures, and where the report lies."""
    console = console or Console()
    shape = compared.held_out.chunks.shape
    table = Table(title=f"chunks of {shape[1]} x {shape[2]}, {shape[0]} held out, vocabulary {compared.vocabulary}")
    table.add_column("kind", no_wrap=True)
    for header in ("tokens", "p99", "ratio", "error", "p99", "max", "broken", "masked"):
        table.add_column(header, justify="right")
    for name, measured in compared.measured.items():
        table.add_row(name, *_row(measured.measures))
    console.print(table)
    notes = (
        f"error: in half-ranges, against the clipped chunk; {compared.clipped.mean():.2%} of all numbers are clipped",
        f"broken: does not decode when {NOISE:.0%} of the tokens are wrong; masked: nor behind the grammar",
    )
    console.print("\n".join(notes), markup=False, highlight=False)
    console.print(f"report: {out / 'tokens.html'}", markup=False, soft_wrap=True)


def _row(measures: Measures) -> tuple[str, ...]:
    return (
        f"{measures.tokens_mean:.2f}",
        f"{measures.tokens_p99:.0f}",
        f"{measures.compression:.2f}",
        *(f"{error:.4f}" for error in (measures.mae, measures.error_p99, measures.error_max)),
        f"{measures.undecodable_unconstrained:.2%}",
        f"{measures.undecodable_constrained:.2%}",
    )
