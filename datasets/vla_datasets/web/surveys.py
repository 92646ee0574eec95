"""What a corpus is made of: kinds, licences and sizes of pictures, counted over its samples.

kind       samples   share   pictures   example
caption      1,204    60 %       1.00   caption en → A red cube lies left of a blue bowl.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vla_datasets.web.samples import PLACES, WebCorpus, WebSample

EXAMPLE_LETTERS = 80


@dataclasses.dataclass(frozen=True)
class Survey:
    """Counts over the samples that were read."""

    name: str
    num_samples: int
    """In the whole corpus."""
    num_read: int
    kinds: Mapping[str, int]
    """From the most to the least, as all of these."""
    licences: Mapping[str, int]
    sizes: Mapping[tuple[int, int], int]
    """Pictures by (height, width) in pixels."""
    pictures: Mapping[str, int]
    """By kind."""
    num_scenes: int
    """Different ones; a sample without a scene is one of its own."""
    examples: Mapping[str, tuple[str, str]]
    """Question and answer of the first sample of each kind."""


def spread(corpus: WebCorpus, count: int) -> list[int]:
    """`count` numbers of samples, one out of each of as many equal parts; all of them for 0, or if there are fewer.

    Which one is drawn by lot, always the same: at even distances, kinds that take turns would be missed.
    """
    number = min(count or len(corpus), len(corpus))
    within = np.random.default_rng(0).random(number)
    return ((np.arange(number) + within) * (len(corpus) / number)).astype(int).tolist()


def survey(corpus: WebCorpus, count: int = 0) -> Survey:
    """Read `count` samples, spread over the corpus, and count what they are; 0 for all.

    Raises:
        DataError: naming the sample that cannot be read.
    """
    kinds, licences, sizes, pictures = (Counter[str](), Counter[str](), Counter[tuple[int, int]](), Counter[str]())
    scenes: set[str] = set()
    examples: dict[str, tuple[str, str]] = {}
    indices = spread(corpus, count)
    for index, sample in _read(corpus, indices):
        kinds[sample.kind] += 1
        licences[sample.licence] += 1
        pictures[sample.kind] += len(sample.images)
        sizes.update((image.shape[0], image.shape[1]) for image in sample.images)
        scenes.add(sample.scene or f"sample {index}")
        examples.setdefault(sample.kind, (sample.question, sample.answer))
    return Survey(
        name=corpus.name,
        num_samples=len(corpus),
        num_read=len(indices),
        kinds=dict(kinds.most_common()),
        licences=dict(licences.most_common()),
        sizes=dict(sizes.most_common()),
        pictures=dict(pictures.most_common()),
        num_scenes=len(scenes),
        examples=examples,
    )


def print_survey(found: Survey, console: Console | None = None) -> None:
    """Print the counts as tables."""
    console = console or Console()
    read = "all" if found.num_read == found.num_samples else f"{found.num_read:,} of {found.num_samples:,}"
    table = Table(title=f"{found.name}: {read} samples, {found.num_scenes:,} scenes", title_justify="left")
    for header in ("kind", "samples", "share", "pictures"):
        table.add_column(header, justify="left" if header == "kind" else "right", no_wrap=True)
    table.add_column("example", overflow="fold")
    for kind, count in found.kinds.items():
        share, pictures = count / found.num_read, found.pictures[kind] / count
        table.add_row(escape(kind), f"{count:,}", f"{share:.1%}", f"{pictures:.2f}", _example(found.examples[kind]))
    console.print(table)
    sizes = {f"{width} x {height}": count for (height, width), count in found.sizes.items()}
    for what, counts in (("licence", found.licences), ("width x height", sizes)):
        console.print(_counts(what, counts))


def _read(corpus: WebCorpus, indices: list[int]) -> Iterator[tuple[int, WebSample]]:
    return ((index, corpus[index]) for index in indices)


def _counts(what: str, counts: Mapping[str, int], rows: int = 12) -> Table:
    table = Table()
    table.add_column(what)
    table.add_column("samples" if what == "licence" else "pictures", justify="right")
    for name, count in list(counts.items())[:rows]:
        table.add_row(escape(name), f"{count:,}")
    if len(counts) > rows:
        table.add_row(f"{len(counts) - rows} more", f"{sum(list(counts.values())[rows:]):,}")
    return table


def _example(said: tuple[str, str]) -> str:
    text = " → ".join(" ".join(PLACES.sub(_short, part).split()) for part in said)
    return escape(text if len(text) <= EXAMPLE_LETTERS else f"{text[: EXAMPLE_LETTERS - 1]}…")


def _short(place: re.Match[str]) -> str:
    return "[point]" if place.group().count("<") == 2 else "[box]"
