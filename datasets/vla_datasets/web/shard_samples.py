"""One sample as members of a shard, and back.

    000000017.0.png  000000017.1.png  000000017.json        ours: pictures by number, then all that is said
    sa_223750.jpg  sa_223750.txt                            of others: `ShardFields` says which member is what

A key is a member's name up to the first dot after the last slash; the rest is the field, as in WebDataset.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from vla.errors import ConfigError, DataError
from vla_datasets.web.pictures import PictureFormat, decode_picture, encode_picture
from vla_datasets.web.samples import WebSample
from vla_datasets.web.tar_members import member_bytes

OWN_FIELD = "json"
JSON_PREFIX = "json:"

_OWN_TEXTS = ("question", "answer", "kind", "licence", "source", "scene")
_OWN_IMAGE_FIELDS = tuple(f.value for f in PictureFormat)


@dataclasses.dataclass(frozen=True)
class ShardFields:
    """Which member of a sample is what, in shards that others wrote. Nothing is guessed.

    A place is the name of a text member (`txt`), or `json:` and a key of the JSON member (`json:caption`).
    """

    answer: str
    """Where the answer stands."""
    licence: str
    """What to state for every sample; an SPDX identifier where there is one."""
    images: tuple[str, ...] = ("jpg",)
    """The members with pictures, in order; `jpg;png` is the first of these that is there. () for text alone."""
    prompt: str = "caption en"
    """The question, where it is the same for all."""
    question: str = ""
    """Where the question stands; then `prompt` is not used."""
    kind: str = "caption"
    """Of every sample."""

    def __post_init__(self) -> None:
        if not self.licence.strip():
            raise ConfigError("licence= is empty: state the licence of these shards")
        for place in filter(None, (self.answer, self.question)):
            if place in (OWN_FIELD, JSON_PREFIX):
                raise ConfigError(f"'{place}' is a whole JSON file: name a key of it, {JSON_PREFIX}KEY")


def key_and_field(name: str) -> tuple[str, str]:
    """The two halves of a member's name: `a.b/c.0.png` is `a.b/c` and `0.png`."""
    folder, slash, file = name.rpartition("/")
    key, _, field = file.partition(".")
    return folder + slash + key, field


def encode_sample(
    sample: WebSample, key: str, picture_format: PictureFormat = PictureFormat.PNG, quality: int = 90
) -> bytes:
    """The members of one sample in our layout, as they lie in a shard.

    Args:
        quality: of a JPEG, 1 to 100.

    Raises:
        DataError: if the licence is empty, or the facts are not JSON values.
    """
    if not sample.licence.strip():
        raise DataError(f"sample {key} of '{sample.source}' has no licence: nothing is written without one")
    pictures = [
        member_bytes(f"{key}.{i}.{picture_format.value}", encode_picture(image, picture_format, quality))
        for i, image in enumerate(sample.images)
    ]
    said: dict[str, Any] = {name: getattr(sample, name) for name in _OWN_TEXTS}
    said |= {"images": len(sample.images), "facts": dict(sample.facts)}
    try:
        text = json.dumps(said, sort_keys=True, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"sample {key} of '{sample.source}' has facts that are not JSON values: {error}") from None
    return b"".join(pictures) + member_bytes(f"{key}.{OWN_FIELD}", text.encode())


def decode_own(contents: Mapping[str, bytes], where: str, max_pixels: int) -> WebSample:
    """The sample that `encode_sample` wrote.

    Args:
        contents: by field.
        where: archive and key, for errors.

    Raises:
        DataError: naming the member.
    """
    if OWN_FIELD not in contents:
        raise DataError(
            f"{where} has no '{OWN_FIELD}', only {sorted(contents)}: for shards that others wrote, say which member "
            "is what (ShardFields)"
        )
    said = _parse(contents[OWN_FIELD], f"{where}.{OWN_FIELD}")
    texts = {name: _text_of(said, name, f"{where}.{OWN_FIELD}") for name in _OWN_TEXTS}
    number, facts = said.get("images"), said.get("facts")
    if type(number) is not int or not 0 <= number <= len(contents) or not isinstance(facts, dict):
        raise DataError(f"{where}.{OWN_FIELD} should give the number of images and the facts; are these shards ours?")
    names = [_first(contents, [f"{i}.{end}" for end in _OWN_IMAGE_FIELDS], where) for i in range(number)]
    images = tuple(decode_picture(contents[name], f"{where}.{name}", max_pixels) for name in names)
    if not texts["licence"].strip():
        raise DataError(f"{where}.{OWN_FIELD} has an empty licence")
    return WebSample(images=images, facts=facts, **texts)


def decode_foreign(
    contents: Mapping[str, bytes], where: str, fields: ShardFields, max_pixels: int, source: str
) -> WebSample:
    """A sample that others wrote, read as `fields` says; each is a scene of its own.

    Raises:
        DataError: naming the member.
    """
    names = [_first(contents, choice.split(";"), where) for choice in fields.images]
    return WebSample(
        images=tuple(decode_picture(contents[name], f"{where}.{name}", max_pixels) for name in names),
        question=_find(contents, fields.question, where) if fields.question else fields.prompt,
        answer=_find(contents, fields.answer, where),
        kind=fields.kind,
        licence=fields.licence,
        source=source,
        scene=source,
    )


def fields_read(fields: ShardFields | None, field: str) -> bool:
    """Whether a member of this field is of any use; what is not is never read."""
    if fields is None:
        return field == OWN_FIELD or field.endswith(tuple(f".{end}" for end in _OWN_IMAGE_FIELDS))
    places = {OWN_FIELD if place.startswith(JSON_PREFIX) else place for place in (fields.answer, fields.question)}
    return field in places or any(field in choice.split(";") for choice in fields.images)


def _first(contents: Mapping[str, bytes], names: list[str], where: str) -> str:
    for name in names:
        if name in contents:
            return name
    raise DataError(f"{where} has no '{' or '.join(names)}', only {sorted(contents)}")


def _find(contents: Mapping[str, bytes], place: str, where: str) -> str:
    if place.startswith(JSON_PREFIX):
        _first(contents, [OWN_FIELD], where)
        name = f"{where}.{OWN_FIELD}"
        return _text_of(_parse(contents[OWN_FIELD], name), place.removeprefix(JSON_PREFIX), name)
    content = contents[_first(contents, [place], where)]
    try:
        return content.decode().strip()
    except UnicodeDecodeError:
        raise DataError(f"{where}.{place} is not text in UTF-8") from None


def _parse(content: bytes, where: str) -> dict[str, Any]:
    try:
        said = json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise DataError(f"{where} is not JSON: {content[:40]!r}") from None
    if not isinstance(said, dict):
        raise DataError(f"{where} should hold an object, it holds a {type(said).__name__}")
    return said


def _refuse(constant: str) -> float:
    raise ValueError(constant)


def _text_of(said: Mapping[str, Any], key: str, where: str) -> str:
    value = said.get(key)
    if not isinstance(value, str):
        raise DataError(f"{where} should have a text '{key}', it has {value!r:.60}; its keys are {sorted(said)}")
    return value
