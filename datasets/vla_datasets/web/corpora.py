"""Any corpus, from a few lines of configuration.

kind             path                        also
shards           folder of NAME.tar          answer=, licence= for shards that others wrote
llava            JSON file                   images=, licence=
coco_captions    JSON file                   images=; licence= where the file gives none
coco_boxes       JSON file                   images=; expression= for referring expressions
hub              folder or cached name       answer=, licence=, image_columns=, split=
"""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path

from vla.errors import ConfigError
from vla_datasets.web.coco import open_boxes, open_captions
from vla_datasets.web.hub_datasets import HubColumns, HubCorpus
from vla_datasets.web.llava import LlavaCorpus
from vla_datasets.web.pictures import MAX_PIXELS
from vla_datasets.web.samples import WebCorpus
from vla_datasets.web.shard_samples import ShardFields
from vla_datasets.web.shards import ShardCorpus


class CorpusKind(enum.Enum):
    """The formats that are read."""

    SHARDS = "shards"
    LLAVA = "llava"
    COCO_CAPTIONS = "coco_captions"
    COCO_BOXES = "coco_boxes"
    HUB = "hub"


@dataclasses.dataclass
class CorpusFormat:
    """How a corpus is to be read, and what is what in it. Nothing is guessed."""

    kind: CorpusKind = CorpusKind.SHARDS
    """The format."""
    name: str = ""
    """What sources begin with; from the path if not given."""
    licence: str = ""
    """What to state for samples whose format or file gives no licence; an SPDX identifier where there is one."""
    images: Path | None = None
    """llava, coco: the folder of the pictures; for llava that of the file if not given."""
    image_columns: list[str] = dataclasses.field(default_factory=list)
    """shards of others, hub: members or columns with a picture each; [jpg;png] is the first that is there."""
    answer: str = ""
    """shards of others, hub: member (txt, json:caption) or column of the answer."""
    question: str = ""
    """shards of others, hub: member or column of the question, where it differs from sample to sample."""
    prompt: str = "caption en"
    """shards of others, hub: the question, where it is the same for all."""
    sample_kind: str = "caption"
    """shards of others, llava, hub: the kind of every sample."""
    expression: str = ""
    """coco_boxes: the annotations' key with a referring expression; classes if not given."""
    scene: str = ""
    """hub: the column that is equal for rows of one picture."""
    split: str = ""
    """hub: which, of a dataset that has several."""
    max_pixels: int = MAX_PIXELS
    """A picture that claims more is refused before it is decoded."""


@dataclasses.dataclass
class CorpusConfig(CorpusFormat):
    """Which corpus, and how it is to be read."""

    path: str = ""
    """Folder of shards, JSON file, or folder or cached name of a Hugging Face dataset."""


def open_corpus(config: CorpusConfig) -> WebCorpus:
    """The corpus that a configuration describes.

    Raises:
        ConfigError: if a field is missing, or is given that this kind does not use.
        DataError: naming the file or member that cannot be read.
    """
    if not config.path:
        raise ConfigError("path= is empty: where does the corpus lie?")
    _check_fields(config)
    match config.kind:
        case CorpusKind.SHARDS:
            return _open_shards(config)
        case CorpusKind.LLAVA:
            return LlavaCorpus(
                Path(config.path),
                config.licence,
                images=config.images,
                name=config.name,
                kind="vqa" if config.sample_kind == "caption" else config.sample_kind,
                max_pixels=config.max_pixels,
            )
        case CorpusKind.COCO_CAPTIONS | CorpusKind.COCO_BOXES:
            return _open_coco(config)
        case CorpusKind.HUB:
            return _open_hub(config)


_OF_OTHERS = frozenset({"image_columns", "answer", "question", "prompt", "sample_kind"})
_USED = {
    CorpusKind.SHARDS: _OF_OTHERS,
    CorpusKind.LLAVA: frozenset({"images", "sample_kind"}),
    CorpusKind.COCO_CAPTIONS: frozenset({"images"}),
    CorpusKind.COCO_BOXES: frozenset({"images", "expression"}),
    CorpusKind.HUB: _OF_OTHERS | {"scene", "split"},
}


def _check_fields(config: CorpusConfig) -> None:
    """A field that would do nothing is a mistake."""
    default, used = CorpusConfig(), _USED[config.kind] | {"path", "kind", "name", "licence", "max_pixels"}
    for field in dataclasses.fields(config):
        if field.name not in used and getattr(config, field.name) != getattr(default, field.name):
            raise ConfigError(f"kind={config.kind.value} does not use {field.name}=; it uses {', '.join(sorted(used))}")


def _open_shards(config: CorpusConfig) -> WebCorpus:
    fields = None
    if config.answer:
        fields = ShardFields(
            answer=config.answer,
            licence=config.licence,
            images=tuple(config.image_columns),
            prompt=config.prompt,
            question=config.question,
            kind=config.sample_kind,
        )
    elif given := [name for name in ("licence", "image_columns", "question") if getattr(config, name)]:
        raise ConfigError(f"{given[0]}= is for shards that others wrote: say where their answer stands too, answer=txt")
    return ShardCorpus(Path(config.path), fields, name=config.name, max_pixels=config.max_pixels)


def _open_coco(config: CorpusConfig) -> WebCorpus:
    if config.images is None:
        raise ConfigError(f"kind={config.kind.value} needs images=, the folder of the pictures")
    path, name = Path(config.path), config.name or "coco"
    if config.kind is CorpusKind.COCO_CAPTIONS:
        return open_captions(
            path, images=config.images, licence=config.licence, name=name, max_pixels=config.max_pixels
        )
    return open_boxes(
        path,
        images=config.images,
        licence=config.licence,
        expression=config.expression,
        name=name,
        max_pixels=config.max_pixels,
    )


def _open_hub(config: CorpusConfig) -> WebCorpus:
    if not config.answer:
        raise ConfigError("kind=hub needs answer=, the column of the answer")
    columns = HubColumns(
        answer=config.answer,
        licence=config.licence,
        images=tuple(config.image_columns),
        prompt=config.prompt,
        question=config.question,
        kind=config.sample_kind,
        scene=config.scene,
    )
    return HubCorpus(config.path, columns, split=config.split, name=config.name, max_pixels=config.max_pixels)
