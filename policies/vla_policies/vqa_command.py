"""`vla vqa`: what a policy knows of pictures and words, by kind, beside what words alone give away."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import MISSING
from rich.console import Console
from rich.table import Table

from vla import cli
from vla.errors import ConfigError
from vla.files import write_atomically
from vla.intervals import Share
from vla_policies.checkpoint import load_checkpoint
from vla_policies.gate import ask
from vla_policies.loading import checkpoint_folder
from vla_policies.vqa import KindScores, VqaReport
from vla_policies.vqa_scores import NEAR


@dataclasses.dataclass
class VqaConfig:
    """Ask a policy questions about pictures, and tell how often it is right: by kind, and without the picture.

    Example: vla vqa policy=runs/cotrained data=[data/web-held-out]
    """

    policy: str = MISSING
    """Checkpoint folder of a policy that was trained with `web`, or that has a pretrained backbone; or the name of a
    shipped one, emergence-cotrained."""
    data: list[str] = MISSING
    """Web samples that it was not trained on: folders of shards, files of JSON lines."""
    samples: int = 1000
    """How many of each of `data`, spread over it; 0 for all."""
    out: Path | None = None
    """A JSON file for the figures."""
    examples: int = 0
    """How many questions of each kind to print with what was answered."""
    device: str | None = None
    """Where to run; the CPU if not given."""


def main(arguments: Sequence[str]) -> int:
    """The command `vla vqa`."""
    return cli.run("vqa", VqaConfig, vqa, arguments)


def vqa(config: VqaConfig) -> None:
    """Measure, print, and write what was asked for.

    Raises:
        ConfigError: if the policy does not answer in words.
        CheckpointError, DataError: naming what cannot be read.
    """
    if config.samples < 0 or config.examples < 0:
        raise ConfigError(f"samples and examples are counts, got {config.samples} and {config.examples}")
    checkpoint = load_checkpoint(checkpoint_folder(config.policy))
    report = ask(checkpoint, config.data, config.samples, config.device or "cpu")
    print_report(report)
    _print_examples(report, config.examples)
    if config.out is not None:
        told = {"policy": config.policy, "data": config.data, "step": checkpoint.step} | report.to_json()
        write_atomically(config.out, json.dumps(told, indent=1) + "\n")


def print_report(report: VqaReport) -> None:
    """A table: one line a kind, then all of them."""
    table = Table(title="answers, right of those asked, with 95 % intervals")
    for name in ("kind", "n", "exact", "soft", "blind", "distance", "looks there"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for kind, scores in report.kinds.items():
        table.add_row(kind, *_cells(scores))
    table.add_section()
    table.add_row("all", *_cells(report.all))
    console = Console()
    console.print(table)
    console.print(
        f"blind: without the picture; distance in shares of the diagonal, right within {NEAR:.0%}; boxes are right "
        "from an overlap of one half; looks there: by the maps that the arm looks by"
    )
    if report.left_out:
        kinds = ", ".join(f"{kind} {count}" for kind, count in report.left_out.items())
        console.print(f"not asked, having several pictures or too many words: {kinds}")


def _cells(scores: KindScores) -> list[str]:
    return [
        str(scores.exact.n),
        _percent(scores.exact),
        f"{scores.soft:.2f}",
        _percent(scores.blind),
        "" if scores.distance is None else f"{scores.distance:.3f}",
        "" if scores.looked is None else _percent(scores.looked),
    ]


def _percent(share: Share) -> str:
    return f"{share.success:.1%} [{share.low:.0%}, {share.high:.0%}]"


def _print_examples(report: VqaReport, count: int) -> None:
    console = Console(soft_wrap=True, markup=False, highlight=False)
    for kind in report.kinds if count else ():
        console.print(f"\n{kind}")
        for answered in [a for a in report.answered if a.kind == kind][:count]:
            mark = "+" if answered.score.is_right else "-"
            console.print(f"  {mark} {answered.question}  said: {answered.said}  true: {answered.true}")
