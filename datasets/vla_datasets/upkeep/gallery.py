"""A gallery of episodes: one HTML page with films beside it, to be opened by a double click, without a server.

OUT/
  index.html                 a card an episode: films, words, outcome, actions and states with their limits
  films/ID.CAMERA.mp4        H.264, and a .jpg of its first picture
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from vla.files import write_atomically
from vla.interfaces import Episode
from vla_datasets.store import EpisodeRow, EpisodeStore
from vla_datasets.upkeep.charts import HEIGHT, WIDTH, Line, line
from vla_datasets.upkeep.episode_workers import map_episodes
from vla_datasets.upkeep.films import write_film, write_poster
from vla_datasets.upkeep.suspicions import Thresholds

TEMPLATE = "gallery_template.html"
FILMS = "films"


@dataclasses.dataclass(frozen=True)
class Film:
    """One camera of one episode; paths relative to the page."""

    camera: str
    video: str
    poster: str
    height: int
    """Of what the camera gives, px."""
    width: int


@dataclasses.dataclass(frozen=True)
class Card:
    """One episode, as the page shows it."""

    row: EpisodeRow
    duration_s: float
    films: tuple[Film, ...]
    actions: tuple[Line, ...]
    proprioception: tuple[Line, ...]


def choose(rows: Sequence[EpisodeRow], episodes: int) -> list[EpisodeRow]:
    """At most so many, taken in turn from each task, source and outcome, so that a few show all there is; in order."""
    groups: dict[tuple[str, str, bool], list[EpisodeRow]] = {}
    for row in rows:
        groups.setdefault((row.task, row.source, row.success), []).append(row)
    in_turn = (row for turn in itertools.zip_longest(*groups.values()) for row in turn if row is not None)
    chosen = {row.id for row in itertools.islice(in_turn, episodes)}
    return [row for row in rows if row.id in chosen]


def write_gallery(
    out: Path, store: EpisodeStore, rows: Sequence[EpisodeRow], *, workers: int = 0, progress: bool = True
) -> Path:
    """Write the page and its films; the page's path. The page comes last, so that what it shows is there.

    Args:
        out: a folder; made if it is absent.
        rows: which episodes.
        workers: processes; 0 for as many as there are cores and work for.

    Raises:
        StoreError: if an episode is damaged.
    """
    (out / FILMS).mkdir(parents=True, exist_ok=True)
    keys, one = [row.id for row in rows], functools.partial(make_card, out=out)
    cards = list(map_episodes(store, keys, one, title="filming", workers=workers, progress=progress))
    page = out / "index.html"
    write_atomically(page, gallery_page(store, cards))
    return page


def make_card(store: EpisodeStore, key: str, *, out: Path) -> Card:
    """Film one episode, and draw its numbers."""
    episode, body, usual = store.read(key), store.embodiment, Thresholds()
    return Card(
        row=store.row(key),
        duration_s=episode.num_steps * body.control_dt_s,
        films=tuple(_film(out, key, episode, camera.name) for camera in body.cameras),
        actions=tuple(
            line(field, values, shows_limits=True, beyond_share=usual.beyond_share)
            for field, values in zip(body.action, episode.actions.T, strict=True)
        ),
        proprioception=tuple(
            line(field, values, shows_limits=False, beyond_share=usual.state_beyond_share)
            for field, values in zip(body.proprioception, episode.proprioception.T, strict=True)
        ),
    )


def gallery_page(store: EpisodeStore, cards: Sequence[Card]) -> str:
    """The page."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["words"] = lambda name: name.replace("_", " ")
    text = (resources.files("vla_datasets") / "upkeep" / TEMPLATE).read_text(encoding="utf-8")
    template = environment.from_string(text)
    rows = [card.row for card in cards]
    return template.render(
        name=store.name,
        body=store.embodiment,
        cards=cards,
        total=len(store),
        tasks=_distinct(row.task for row in rows),
        sources=_distinct(row.source for row in rows),
        licences=_distinct(row.licence for row in rows),
        width=WIDTH,
        height=HEIGHT,
    )


def _film(out: Path, key: str, episode: Episode, camera: str) -> Film:
    images = episode.images[camera]
    # An id is a plain file name; a camera's name may be anything.
    base = f"{FILMS}/{key}.{re.sub(r'[^A-Za-z0-9_-]+', '_', camera)}"
    write_film(out / f"{base}.mp4", images, episode.embodiment.control_hz)
    write_poster(out / f"{base}.jpg", images[0])
    return Film(camera, f"{base}.mp4", f"{base}.jpg", images.shape[1], images.shape[2])


def _distinct(names: Any) -> list[str]:
    return sorted(set(names))
