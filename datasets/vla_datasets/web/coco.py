"""Captions and boxes in COCO's JSON; each picture's licence is the one that the file's table gives it.

    captions     caption en                  A man rides a wave.
    boxes        detect cup                  <loc0100>…<loc0300> cup ; <loc0120>…<loc0890> cup
    expressions  detect the cup on the left  <loc0100>…<loc0300> the cup on the left

Boxes are words as in PaliGemma (Beyer et al. 2024, arXiv:2407.07726), from top to bottom.
Source: https://cocodataset.org/#format-data, where a box is x, y of its top left corner, width, height, in pixels.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from vla.errors import DataError
from vla_datasets.web.picture_files import check_inside, read_json, read_picture
from vla_datasets.web.pictures import MAX_PIXELS
from vla_datasets.web.samples import WebSample, location_words

_CREATIVE_COMMONS = re.compile(r"https?://creativecommons\.org/licenses/([a-z-]+)/(\d\.\d)/?")


@dataclasses.dataclass(frozen=True)
class _Picture:
    identity: int
    file: str
    height: int
    width: int
    licence: str


@dataclasses.dataclass(frozen=True)
class _Said:
    """What a sample says about a picture."""

    picture: _Picture
    question: str
    answer: str
    kind: str
    number: int
    """Of the annotation, or of the category if there are several."""


class CocoCorpus:
    """Samples from one annotation file; made by `open_captions` or `open_boxes`.

    A picture whose size is not the one in the file is refused, since boxes would lie elsewhere.
    """

    def __init__(self, name: str, folder: Path, said: list[_Said], max_pixels: int = MAX_PIXELS) -> None:
        self._name, self._folder, self._said, self._max_pixels = name, folder, said, max_pixels

    @property
    def name(self) -> str:
        return self._name

    def __len__(self) -> int:
        return len(self._said)

    def __getitem__(self, index: int) -> WebSample:
        if not 0 <= index < len(self):
            raise IndexError(f"{self._name} has samples 0 to {len(self) - 1}, not {index}")
        said = self._said[index]
        picture = said.picture
        image = read_picture(self._folder, picture.file, self._max_pixels)
        if image.shape[:2] != (picture.height, picture.width):
            got, expected = f"{image.shape[1]} x {image.shape[0]}", f"{picture.width} x {picture.height}"
            raise DataError(f"{self._folder / picture.file} is {got}, its annotations are for {expected}")
        scene = f"{self._name}:{picture.identity:012d}"
        return WebSample(
            images=(image,),
            question=said.question,
            answer=said.answer,
            kind=said.kind,
            licence=picture.licence,
            source=f"{scene}/{said.number}",
            scene=scene,
        )


def open_captions(
    path: Path, *, images: Path, licence: str = "", name: str = "coco", max_pixels: int = MAX_PIXELS
) -> CocoCorpus:
    """One sample a caption, in the file's order.

    Args:
        path: `captions_*.json`.
        images: the folder of the pictures.
        licence: of pictures to which the file gives none.

    Raises:
        DataError: naming the entry that is not as the format says, or that has no licence.
    """
    document = _Document(path, images, licence)
    said = [
        _Said(document.picture_of(entry), "caption en", document.text(entry, "caption").strip(), "caption", entry["id"])
        for entry in document.annotations
    ]
    return CocoCorpus(name, images, said, max_pixels)


def open_boxes(
    path: Path,
    *,
    images: Path,
    licence: str = "",
    expression: str = "",
    name: str = "coco",
    max_pixels: int = MAX_PIXELS,
) -> CocoCorpus:
    """One sample for each class that is in a picture, with all its boxes; or one for each referring expression.

    A class with a crowd, whose members are not boxed one by one, is left out of its picture.

    Args:
        path: `instances_*.json`.
        images: the folder of the pictures.
        licence: of pictures to which the file gives none.
        expression: the annotations' key with a text that means this box alone; classes if not given.

    Raises:
        DataError: naming the entry that is not as the format says, or that has no licence.
    """
    document = _Document(path, images, licence)
    return CocoCorpus(name, images, list((_referred if expression else _classes)(document, expression)), max_pixels)


def _referred(document: _Document, expression: str) -> Iterator[_Said]:
    for entry in document.annotations:
        picture, text = document.picture_of(entry), document.text(entry, expression).strip()
        yield _Said(picture, f"detect {text}", f"{document.box(entry)} {text}", "box", entry["id"])


def _classes(document: _Document, _: str) -> Iterator[_Said]:
    grouped: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for entry in document.annotations:
        picture = document.picture_of(entry)
        grouped.setdefault((picture.identity, document.category_id(entry)), []).append(entry)
    for (_picture, category), entries in grouped.items():
        if any(entry.get("iscrowd") for entry in entries):
            continue
        name = document.categories[category]
        boxes = " ; ".join(f"{box} {name}" for box in sorted(document.box(entry) for entry in entries))
        yield _Said(document.picture_of(entries[0]), f"detect {name}", boxes, "box", category)


# --------------------------------------------------------------------------- the file


class _Document:
    """An annotation file whose tables have been checked."""

    def __init__(self, path: Path, folder: Path, licence: str) -> None:
        self._path = path
        content = read_json(path)
        if not isinstance(content, dict):
            raise DataError(f"{path} should hold an object with images and annotations")
        self._licences = _table(content.get("licenses", []), "license", path, _licence_name)
        self._pictures = _table(
            content.get("images"), "image", path, lambda entry, where: self._picture(entry, where, folder, licence)
        )
        self.categories = _table(
            content.get("categories", []), "category", path, lambda entry, where: _text(entry, "name", where)
        )
        self.annotations = list(_entries(content.get("annotations"), "annotation", path))
        if not self.annotations:
            raise DataError(f"{path} has no annotations")

    def picture_of(self, entry: dict[str, Any]) -> _Picture:
        identity = entry.get("image_id")
        if identity not in self._pictures:
            raise DataError(f"{self._where(entry)} is of image {identity!r}, which the file does not have")
        return self._pictures[identity]

    def category_id(self, entry: dict[str, Any]) -> int:
        identity = entry.get("category_id")
        if identity not in self.categories:
            raise DataError(f"{self._where(entry)} is of category {identity!r}, which the file does not have")
        return identity

    def text(self, entry: dict[str, Any], key: str) -> str:
        return _text(entry, key, self._where(entry))

    def box(self, entry: dict[str, Any]) -> str:
        """Location words of an annotation's box."""
        box = entry.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(type(x) in (int, float) for x in box):
            raise DataError(f"{self._where(entry)} should have four numbers under 'bbox', it has {str(box)[:60]}")
        picture = self.picture_of(entry)
        left, top, width, height = box
        bottom, right = top + height, left + width
        # Annotators' boxes reach over the edge by rounding.
        if not (-1 <= left <= right <= picture.width + 1 and -1 <= top <= bottom <= picture.height + 1):
            size = f"{picture.width} x {picture.height}"
            raise DataError(f"{self._where(entry)}: its box {box} does not lie in the picture, which is {size}")
        return location_words(
            top / picture.height, left / picture.width, bottom / picture.height, right / picture.width
        )

    def _picture(self, entry: dict[str, Any], where: str, folder: Path, licence: str) -> _Picture:
        file = _text(entry, "file_name", where)
        check_inside(folder, file, where)
        height, width = entry.get("height"), entry.get("width")
        if type(height) is not int or type(width) is not int or min(height, width) < 1:
            raise DataError(f"{where} should have a width and a height in pixels, it has {width!r} x {height!r}")
        stated = self._licences.get(entry.get("license", -1), licence)
        if not stated.strip():
            raise DataError(f"{where} has no licence in the file's table: state it with licence=")
        return _Picture(entry["id"], file, height, width, stated)

    def _where(self, entry: dict[str, Any]) -> str:
        return f"{self._path}: annotation {entry['id']}"


def _table[T](entries: Any, what: str, path: Path, read: Callable[[dict[str, Any], str], T]) -> dict[int, T]:
    return {entry["id"]: read(entry, f"{path}: {what} {entry['id']}") for entry in _entries(entries, what, path)}


def _entries(entries: Any, what: str, path: Path) -> Iterable[dict[str, Any]]:
    if not isinstance(entries, list):
        raise DataError(f"{path} should have a list of {what} entries, it has {str(entries)[:40]}")
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict) or type(entry.get("id")) is not int:
            raise DataError(f"{path}: {what} entry {i} should be an object with a number 'id', it is {str(entry)[:60]}")
    return entries


def _text(entry: dict[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where} should have a text '{key}', it has {value!r:.60}")
    return value


def _licence_name(entry: dict[str, Any], where: str) -> str:
    """The SPDX identifier of a Creative Commons licence, by its address; else the name in the table."""
    found = _CREATIVE_COMMONS.fullmatch(str(entry.get("url", "")))
    return f"CC-{found[1].upper()}-{found[2]}" if found else _text(entry, "name", where)
