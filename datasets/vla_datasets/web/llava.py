"""Conversations about pictures in LLaVA's JSON; each question with its answer is one sample.

    [{"id": "17", "image": "coco/17.jpg", "conversations": [{"from": "human", "value": "<image> What is this?"},
                                                            {"from": "gpt", "value": "A cup."}, ...]}, ...]

Source: the data files of LLaVA (Liu et al. 2023, arXiv:2304.08485). A list of paths under `image` is read too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vla.errors import ConfigError, DataError
from vla_datasets.web.picture_files import check_inside, read_json, read_picture
from vla_datasets.web.pictures import MAX_PIXELS
from vla_datasets.web.samples import WebSample

MARKER = "<image>"

_ROLES = ("human", "gpt")


@dataclasses.dataclass(frozen=True)
class _Turn:
    """A question and its answer."""

    images: tuple[str, ...]
    question: str
    answer: str
    source: str
    scene: str


class LlavaCorpus:
    """The question-answer pairs of one LLaVA-style file, in its order.

    Args:
        path: the JSON file.
        licence: what to state for every sample; the format has no field for it.
        images: the folder that the pictures' paths begin in; that of the file if not given.
        kind: of every sample.
        max_pixels: of a picture; checked before it is decoded.

    Raises:
        ConfigError: if no licence is stated.
        DataError: naming the entry that is not as the format says, or whose picture lies outside the folder.
    """

    def __init__(
        self,
        path: Path,
        licence: str,
        *,
        images: Path | None = None,
        name: str = "",
        kind: str = "vqa",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if not licence.strip():
            raise ConfigError(f"licence= is empty: state the licence of {path}")
        self._name = name or path.stem
        self._licence, self._kind, self._max_pixels = licence, kind, max_pixels
        self._folder = images or path.parent
        entries = read_json(path)
        if not isinstance(entries, list) or not entries:
            raise DataError(f"{path} should hold a list of conversations, it holds {str(entries)[:40]}")
        self._turns = [turn for i, entry in enumerate(entries) for turn in self._turns_of(entry, f"{path}: entry {i}")]

    @property
    def name(self) -> str:
        return self._name

    def __len__(self) -> int:
        return len(self._turns)

    def __getitem__(self, index: int) -> WebSample:
        if not 0 <= index < len(self):
            raise IndexError(f"{self._name} has samples 0 to {len(self) - 1}, not {index}")
        turn = self._turns[index]
        return WebSample(
            images=tuple(read_picture(self._folder, name, self._max_pixels) for name in turn.images),
            question=turn.question,
            answer=turn.answer,
            kind=self._kind,
            licence=self._licence,
            source=turn.source,
            scene=turn.scene,
        )

    def _turns_of(self, entry: Any, where: str) -> Iterator[_Turn]:
        if not isinstance(entry, dict):
            raise DataError(f"{where} should be an object, it is {str(entry)[:40]}")
        images = _images_of(entry, where)
        for name in images:
            check_inside(self._folder, name, where)
        words = _values_of(entry, where)
        markers = sum(value.count(MARKER) for value in words)
        if markers > len(images):
            raise DataError(f"{where} has {markers} markers {MARKER} for {len(images)} pictures")
        identity = str(entry.get("id", where.rpartition(" ")[2]))
        scene = f"{self._name}:{images[0] if images else identity}"
        for number in range(0, len(words), 2):
            question, answer = (value.replace(MARKER, "").strip() for value in words[number : number + 2])
            yield _Turn(images, question, answer, f"{self._name}:{identity}/{number // 2}", scene)


def _images_of(entry: dict[str, Any], where: str) -> tuple[str, ...]:
    found = entry.get("image") or []
    images = [found] if isinstance(found, str) else found
    if not isinstance(images, list) or not all(isinstance(name, str) for name in images):
        raise DataError(f"{where} should have a path under 'image', or a list of them; it has {str(found)[:60]}")
    return tuple(images)


def _values_of(entry: dict[str, Any], where: str) -> list[str]:
    """What is said, human and gpt in turn."""
    turns = entry.get("conversations")
    if not isinstance(turns, list) or not turns or len(turns) % 2:
        raise DataError(f"{where} should have pairs of turns under 'conversations', it has {str(turns)[:60]}")
    values = []
    for number, turn in enumerate(turns):
        role = _ROLES[number % 2]
        value = turn.get("value") if isinstance(turn, dict) and turn.get("from") == role else None
        if not isinstance(value, str) or not value.replace(MARKER, "").strip():
            raise DataError(f"{where}: turn {number} should have a text from '{role}', it is {str(turn)[:80]}")
        values.append(value)
    return values
