"""`vla data info`: what is in a store: episodes, tasks, words, embodiment, bytes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import MISSING
from rich.console import Console
from rich.table import Table

from vla import cli
from vla.embodiment import Field
from vla.files import write_atomically
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.store_info import StoreInfo, info_of

_SIZES = ("B", "kB", "MB", "GB", "TB")


@dataclasses.dataclass
class InfoConfig:
    """Tell what is in a store: episodes, hours, tasks, instructions, embodiment, licences, bytes.

    Example: vla data info data=data/tabletop
    """

    data: list[str] = MISSING
    """Episode store; or several, [a,b]."""
    instructions: int = 10
    """How many wordings to list, the most frequent first."""
    json: Path | None = None
    """A file to write it into, a list with an entry for each store."""


def main(arguments: Sequence[str]) -> int:
    """Run `vla data info`; the exit status."""
    return cli.run("data info", InfoConfig, info, arguments)


def info(config: InfoConfig) -> int:
    """Print and write what is in each store; 0.

    Raises:
        VlaError: if a store is absent, empty or damaged.
    """
    infos = [info_of(EpisodeStore.open(address)) for address in config.data]
    console = Console()
    for each in infos:
        print_info(each, config.instructions, console)
    if config.json is not None:
        config.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(config.json, json.dumps([each.to_json() for each in infos], indent=1) + "\n")
    return 0


def print_info(info: StoreInfo, num_instructions: int, console: Console) -> None:
    """Print it as tables."""
    console.print(_parts(info))
    body = info.embodiment
    console.print(
        f"{duration_text(info.hours * 3600)} at {body.control_hz:g} Hz; {info.steps_shortest} to {info.steps_longest} "
        f"steps an episode, median {info.steps_median:g}; {info.uncommitted} not committed",
        markup=False,
    )
    console.print(f"licences: {', '.join(f'{name} ({count})' for name, count in info.licences)}", markup=False)
    console.print(_fields(info))
    console.print(f"fingerprint {body.fingerprint}", markup=False, soft_wrap=True)
    for key, value in info.metadata.items():
        console.print(f"{key}: {json.dumps(value)}", markup=False, soft_wrap=True)
    console.print(_bytes(info))
    console.print(_instructions(info, num_instructions))


def duration_text(seconds: float) -> str:
    """`19 s`, `12.5 min` or `3.2 h`: the largest unit of which there are at least two."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"


def size_text(num_bytes: int) -> str:
    """`1.3 MB`: powers of a thousand."""
    size, thousands = float(num_bytes), 0
    while size >= 1000 and thousands < len(_SIZES) - 1:
        size, thousands = size / 1000, thousands + 1
    return f"{size:.3g} {_SIZES[thousands]}"


def _parts(info: StoreInfo) -> Table:
    table = _table(info.store, ["task", "source"], ["episodes", "success", "steps"])
    for part in info.parts:
        share = f"{100 * part.successes / part.episodes:.1f} %"
        table.add_row(part.task, part.source, str(part.episodes), share, str(part.steps))
    table.add_section()
    successes = sum(part.successes for part in info.parts)
    total = f"{100 * successes / info.episodes:.1f} %"
    table.add_row("all", "", str(info.episodes), total, str(info.steps), style="bold")
    return table


def _fields(info: StoreInfo) -> Table:
    body = info.embodiment
    title = f"{body.name}: {body.action_kind.value} in frame {body.frame}, rotation {body.rotation.value}"
    table = _table(title, ["", "field", "unit"], ["low", "high"])
    for camera in body.cameras:
        table.add_row("camera", camera.name, "px", "", f"{camera.height} x {camera.width}")
    for what, fields in (("action", body.action), ("proprioception", body.proprioception)):
        table.add_section()
        for field in fields:
            table.add_row(what, *_field(field))
    return table


def _field(field: Field) -> tuple[str, str, str, str]:
    return field.name, field.unit, f"{field.low:.4g}", f"{field.high:.4g}"


def _bytes(info: StoreInfo) -> Table:
    table = _table(f"on disk, images {info.image_codec}", ["array"], ["size", "a step"])
    for name, size in (*info.array_bytes, ("all", info.bytes)):
        table.add_row(name, size_text(size), size_text(round(size / info.steps)))
    return table


def _instructions(info: StoreInfo, most: int) -> Table:
    shown = info.instructions[:most]
    title = f"{len(info.instructions)} instructions"
    more = f", the {len(shown)} most frequent" if len(shown) < len(info.instructions) else ""
    table = _table(title + more, ["instruction"], ["episodes"])
    for text, count in shown:
        table.add_row(text, str(count))
    return table


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for header in left:
        table.add_column(header)
    for header in right:
        table.add_column(header, justify="right")
    return table
