"""A page that shows samples of a corpus: pictures with their places drawn on them, question, answer and facts.

out/index.html          needs no server and nothing from elsewhere; filters by kind and by words
out/pictures/17-0.png   as the corpus holds them; JPEG where that is much smaller
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
from jaxtyping import UInt8
from markupsafe import Markup, escape

from vla.files import write_atomically
from vla_datasets.web.pictures import PictureFormat, encode_picture
from vla_datasets.web.samples import PLACES, WebCorpus, WebSample, parse_locations
from vla_datasets.web.surveys import spread

PAGE = "index.html"
PICTURES = "pictures"
TEMPLATE = "gallery_template.html"

_MUCH_SMALLER = 4
_NUM_COLOURS = 6


@dataclasses.dataclass(frozen=True)
class _Place:
    """A point or a box to draw, in the picture's pixels; a point has no height and no width."""

    x: float
    y: float
    width: float
    height: float
    colour: int
    label: str

    @property
    def is_point(self) -> bool:
        return self.width == 0


@dataclasses.dataclass(frozen=True)
class _Picture:
    file: str
    height: int
    width: int
    places: tuple[_Place, ...]


@dataclasses.dataclass(frozen=True)
class _Card:
    """One sample as the page shows it."""

    number: int
    sample: WebSample
    pictures: tuple[_Picture, ...]
    question: Markup
    answer: Markup
    facts: str
    words: str
    """What a search looks in."""


def write_gallery(corpus: WebCorpus, out: Path, count: int = 200) -> int:
    """Write the page of `count` samples, spread over the corpus, and their pictures, the page last; how many it shows.

    Args:
        out: made if it is not there; files of the same names are replaced.
        count: 0 for all.

    Raises:
        DataError: naming the sample that cannot be read.
    """
    (out / PICTURES).mkdir(parents=True, exist_ok=True)
    cards = [_card(corpus[index], index, out) for index in spread(corpus, count)]
    write_atomically(out / PAGE, _page(corpus, cards))
    return len(cards)


def _page(corpus: WebCorpus, cards: list[_Card]) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = (resources.files("vla_datasets") / "web" / TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(template).render(
        name=corpus.name,
        num_samples=len(corpus),
        cards=cards,
        kinds=Counter(card.sample.kind for card in cards).most_common(),
        licences=Counter(card.sample.licence for card in cards).most_common(),
    )


def _card(sample: WebSample, number: int, out: Path) -> _Card:
    files = [_write_picture(image, f"{number}-{i}", out) for i, image in enumerate(sample.images)]
    # Of two pictures, the words do not say which one they are about.
    places = _places(sample) if len(files) == 1 else ()
    question, following = _with_swatches(sample.question, 0)
    answer, _ = _with_swatches(sample.answer, following)
    return _Card(
        number=number,
        sample=sample,
        pictures=tuple(
            _Picture(file, image.shape[0], image.shape[1], places)
            for file, image in zip(files, sample.images, strict=True)
        ),
        question=question,
        answer=answer,
        facts=json.dumps(dict(sample.facts), indent=1, ensure_ascii=False, sort_keys=True) if sample.facts else "",
        words=" ".join((sample.question, sample.answer, sample.source, sample.scene)).lower(),
    )


def _write_picture(image: UInt8[np.ndarray, "height width 3"], stem: str, out: Path) -> str:
    """Path inside `out` of a picture written there: PNG, unless JPEG is several times smaller."""
    exact, small = encode_picture(image), encode_picture(image, PictureFormat.JPEG)
    is_small = _MUCH_SMALLER * len(small) < len(exact)
    file = f"{PICTURES}/{stem}.{(PictureFormat.JPEG if is_small else PictureFormat.PNG).value}"
    write_atomically(out / file, small if is_small else exact)
    return file


# --------------------------------------------------------------------------- places


def _places(sample: WebSample) -> tuple[_Place, ...]:
    """The points and boxes of the question, then those of the answer."""
    height, width = sample.images[0].shape[:2]
    text = f"{sample.question}\n{sample.answer}"
    labels = [_label(text[match.end() :]) for match in PLACES.finditer(text)]
    return tuple(
        _Place(
            x=round(shares[1] * width, 2),
            y=round(shares[0] * height, 2),
            width=round((shares[-1] - shares[1]) * width, 2),
            height=round((shares[-2] - shares[0]) * height, 2),
            colour=number % _NUM_COLOURS,
            label=label,
        )
        for number, (shares, label) in enumerate(zip(parse_locations(text), labels, strict=True))
    )


def _label(following: str) -> str:
    """The words right after a place, up to the next place or the end of the line."""
    return re.split(r"[;\n<.,]", following, maxsplit=1)[0].strip()


def _with_swatches(text: str, number: int) -> tuple[Markup, int]:
    """The text with each place as a coloured mark in place of its words, and the number of the next place."""
    shown, end = Markup(), 0
    for match in PLACES.finditer(text):
        kind = "point" if match.group().count("<loc") == 2 else "box"
        mark = Markup('<i class="swatch {} c{}" title="{}"></i>').format(kind, number % _NUM_COLOURS, match.group())
        shown, end, number = shown + escape(text[end : match.start()]) + mark, match.end(), number + 1
    return shown + escape(text[end:]), number
