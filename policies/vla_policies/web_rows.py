"""Web samples in memory, as a robot's first camera would show them: pictures resized once, equal ones kept once.

    shards, lines of text ─► WebRows: pictures, questions, answers, where to look, which source

Memory: 10,000 different pictures of 64 x 80 pixels are 0.15 GB, of 224 x 224 (a pretrained tower's) 1.5 GB.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, Int64, UInt8
from rich.console import Console
from rich.progress import track

from vla.embodiment import CameraSpec
from vla.errors import DataError
from vla.model.kinds import AnyBackboneConfig
from vla.model.vlm.families import family_named, transformers_config
from vla.model.vlm.vlm_config import VlmConfig
from vla_datasets.mixing.text_lines import TextLines
from vla_datasets.web.samples import WebCorpus, WebSample
from vla_datasets.web.shards import ShardCorpus
from vla_datasets.web.surveys import spread
from vla_policies.place_words import role_points

NO_PICTURE = -1


@dataclasses.dataclass(frozen=True, eq=False)
class WebRows:
    """Every sample of some sources with one picture or none; row `i` of every field is sample `i`."""

    sources: tuple[str, ...]
    """Names, as losses are logged under."""
    pictures: UInt8[np.ndarray, "pictures height width 3"]
    picture: Int64[np.ndarray, " rows"]
    """Into `pictures`; `NO_PICTURE` for language alone."""
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    kinds: tuple[str, ...]
    scenes: tuple[str, ...]
    """Equal for samples that are to stay together."""
    points: Float32[np.ndarray, "rows roles 2"]
    """Where the named roles are to look; NaN where nothing is said."""
    source: Int64[np.ndarray, " rows"]
    """Into `sources`."""
    left_out: Counter[str]
    """By kind: samples with several pictures."""

    def __len__(self) -> int:
        return len(self.questions)


def seen_by(backbone: AnyBackboneConfig, camera: CameraSpec) -> CameraSpec:
    """The camera as its pictures come to the backbone: those of a pretrained tower are of the tower's own size."""
    if not isinstance(backbone, VlmConfig):
        return camera
    family = family_named(backbone.family)
    sizes = transformers_config(family, backbone.architecture)
    height, width = family.picture_size(sizes, camera, backbone.picture_side)
    return dataclasses.replace(camera, height=height, width=width)


def open_web(path: str) -> WebCorpus:
    """The corpus at a path: a folder of shards, or a file of JSON lines with questions and answers.

    Raises:
        DataError: if there is none, or it is damaged.
    """
    return TextLines(Path(path)) if path.endswith(".jsonl") else ShardCorpus(Path(path))


def load_web(corpora: Sequence[WebCorpus], camera: CameraSpec, *, samples: int = 0) -> WebRows:
    """All samples, or this many of each corpus, spread over it.

    Raises:
        DataError: naming the sample that cannot be read, or a corpus of which none is left.
    """
    rows = _Filling(camera)
    for number, corpus in enumerate(corpora):
        for index in _with_bar(spread(corpus, samples), corpus.name):
            rows.add(corpus[index], number)
        if number not in rows.source:
            raise DataError(f"{corpus.name} has no sample with one picture or none")
    return rows.done(tuple(corpus.name for corpus in corpora))


class _Filling:
    """Rows that are being read."""

    def __init__(self, camera: CameraSpec) -> None:
        self._camera = camera
        self._known: dict[bytes, int] = {}
        self._pictures: list[np.ndarray] = []
        self._picture: list[int] = []
        self._samples: list[WebSample] = []
        self._points: list[np.ndarray] = []
        self._left_out: Counter[str] = Counter()
        self.source: list[int] = []

    def add(self, sample: WebSample, source: int) -> None:
        if len(sample.images) > 1:
            self._left_out[sample.kind] += 1
            return
        self._points.append(role_points(sample.answer, sample.facts, sample.source))
        self._picture.append(self._number(sample.images[0]) if sample.images else NO_PICTURE)
        self._samples.append(dataclasses.replace(sample, images=()))
        self.source.append(source)

    def done(self, sources: tuple[str, ...]) -> WebRows:
        empty = np.zeros((0, self._camera.height, self._camera.width, 3), np.uint8)
        return WebRows(
            sources=sources,
            pictures=np.stack(self._pictures) if self._pictures else empty,
            picture=np.array(self._picture, np.int64),
            questions=tuple(sample.question for sample in self._samples),
            answers=tuple(sample.answer for sample in self._samples),
            kinds=tuple(sample.kind for sample in self._samples),
            scenes=tuple(sample.scene or sample.source for sample in self._samples),
            points=np.stack(self._points),
            source=np.array(self.source, np.int64),
            left_out=self._left_out,
        )

    def _number(self, image: UInt8[np.ndarray, "height width 3"]) -> int:
        """Of the picture at the camera's size; its places, being shares of it, stay true."""
        resized = as_camera(image, self._camera)
        digest = hashlib.blake2b(resized.tobytes(), digest_size=16).digest()
        if digest not in self._known:
            self._known[digest] = len(self._pictures)
            self._pictures.append(resized)
        return self._known[digest]


def as_camera(image: UInt8[np.ndarray, "height width 3"], camera: CameraSpec) -> UInt8[np.ndarray, "rows columns 3"]:
    """The whole picture at the camera's size, stretched if its sides are in another ratio."""
    if image.shape[:2] == (camera.height, camera.width):
        return image
    return np.asarray(cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA), np.uint8)


def _with_bar(indices: Sequence[int], name: str) -> Iterable[int]:
    console = Console(stderr=True)
    hidden = not console.is_terminal
    return track(indices, f"reading {name}", console=console, transient=True, disable=hidden)
