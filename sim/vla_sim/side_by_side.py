"""Films of two policies in the same scene: what one alone could do comes first.

a failed, b succeeded ─► b failed, a succeeded ─► both failed ─► both succeeded ─► an error in one of them
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vla_sim.pages import Inlining
from vla_sim.taxonomy import outcome

KINDS = {
    "only_b": "a failed, b succeeded",
    "only_a": "a succeeded, b failed",
    "neither": "both failed",
    "both": "both succeeded",
    "error": "ended in an error",
}
"""In the order in which they are shown."""
MOST = 48
"""Pairs in a page; those of the last kinds are left out first."""


@dataclasses.dataclass(frozen=True)
class FilmPair:
    """One scene, filmed under both policies."""

    task: str
    seed: int
    kind: str
    """One of `KINDS`."""
    episodes: tuple[Mapping[str, Any], Mapping[str, Any]]
    """Of a and of b, as their reports tell them."""
    films: tuple[Path, Path]

    def to_json(self) -> dict[str, str | int]:
        """What compare.json says of it."""
        return {"task": self.task, "seed": self.seed, "kind": self.kind}


@dataclasses.dataclass(frozen=True)
class SideBySide:
    """What can be shown of two evaluations."""

    pairs: tuple[FilmPair, ...]
    """In the order in which they are shown, at most `MOST`."""
    num_left_out: int
    """Pairs beyond that."""
    num_unfilmed: int
    """Episodes in which one alone succeeded, without a film of each."""


NO_FILMS = SideBySide((), 0, 0)


def side_by_side(a: tuple[Path, Mapping[str, Any]], b: tuple[Path, Mapping[str, Any]]) -> SideBySide:
    """The films that two reports have of the same episodes.

    Args:
        a: the report's folder, or the report.json in it, and what it says.
        b: the other's.
    """
    (folder_a, report_a), (folder_b, report_b) = a, b
    films_a, films_b = _films(folder_a, report_a), _films(folder_b, report_b)
    other = {_key(episode): episode for episode in report_b["episodes"]}
    pairs: list[FilmPair] = []
    num_unfilmed = 0
    for one in report_a["episodes"]:
        key = _key(one)
        if key not in other:
            continue
        kind = _kind(one, other[key])
        if key in films_a and key in films_b:
            pairs.append(FilmPair(*key, kind, (one, other[key]), (films_a[key], films_b[key])))
        elif kind in ("only_a", "only_b"):
            num_unfilmed += 1
    pairs.sort(key=lambda pair: list(KINDS).index(pair.kind))
    return SideBySide(tuple(pairs[:MOST]), max(0, len(pairs) - MOST), num_unfilmed)


def for_page(found: SideBySide, inlining: Inlining, out: Path) -> list[dict[str, Any]]:
    """What a page shows of each pair.

    Args:
        out: the page's folder: a film for which it has no room is named from there.
    """
    return [{**pair.to_json(), "sides": _sides(pair, inlining, out)} for pair in found.pairs]


def _sides(pair: FilmPair, inlining: Inlining, out: Path) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "source": inlining.source(film.read_bytes(), _path(film, out)),
            "outcome": outcome(episode),
            "stage": episode.get("came_to") if outcome(episode) == "failed" else None,
            "steps": episode["steps"],
            "instruction": episode["instruction"],
            "error": episode["error"],
        }
        for name, episode, film in zip("ab", pair.episodes, pair.films, strict=True)
    ]


def _films(folder: Path, report: Mapping[str, Any]) -> dict[tuple[str, int], Path]:
    """The films that lie beside a report; a film that is gone is no film."""
    root = (folder if folder.is_dir() else folder.parent) / "videos"
    named: Sequence[Mapping[str, Any]] = report.get("videos", ())
    found = {_key(video): root / Path(video["file"]).name for video in named}
    return {key: path for key, path in found.items() if path.is_file()}


def _path(film: Path, out: Path) -> str:
    return film.resolve().relative_to(out.resolve(), walk_up=True).as_posix()


def _kind(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    ends = outcome(one), outcome(other)
    if "error" in ends:
        return "error"
    names = {("failed", "succeeded"): "only_b", ("succeeded", "failed"): "only_a", ("failed", "failed"): "neither"}
    return names.get(ends, "both")


def _key(episode: Mapping[str, Any]) -> tuple[str, int]:
    return str(episode["task"]), int(episode["seed"])
