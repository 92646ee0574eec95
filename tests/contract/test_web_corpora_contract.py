"""Every reader of image-text corpora keeps the contract, and the check catches those that do not."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vla.testing import check_corpus
from vla_datasets.web.corpora import CorpusConfig, CorpusKind, open_corpus
from vla_datasets.web.pictures import PictureFormat, encode_picture
from vla_datasets.web.samples import WebCorpus, WebSample, location_words
from vla_datasets.web.shards import ShardCorpus, write_shards
from vla_datasets.web.splits import Subset, split_by_scene
from vla_datasets.web.tar_members import END, member_bytes


def _picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)


def _pictures(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(encode_picture(_picture(number)))
    return folder


def _shards(folder: Path) -> CorpusConfig:
    answer = location_words(0.1, 0.2) + " cup"
    samples = [
        WebSample((_picture(i),) * (i % 3), "where?", answer, "point", "CC0-1.0", f"x:{i}", f"s{i // 2}", {"n": i})
        for i in range(7)
    ]
    write_shards(samples, folder, 3)
    return CorpusConfig(path=str(folder))


def _shards_of_others(folder: Path) -> CorpusConfig:
    folder.mkdir()
    content = b"".join(
        member_bytes(f"{i}.jpg", encode_picture(_picture(i), PictureFormat.JPEG)) + member_bytes(f"{i}.txt", b"a cup")
        for i in range(5)
    )
    (folder / "0.tar").write_bytes(content + END)
    return CorpusConfig(path=str(folder), answer="txt", licence="CC-BY-4.0", image_columns=["jpg"])


def _llava(folder: Path) -> CorpusConfig:
    _pictures(folder, 3)
    turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A cup."}] * 2
    turns[2] = {"from": "human", "value": "Is it red?"}
    entries = [{"id": str(i), "image": f"{i}.png", "conversations": turns} for i in range(3)]
    (folder / "x.json").write_text(json.dumps([*entries, {"id": "text", "conversations": turns[2:]}]))
    return CorpusConfig(path=str(folder / "x.json"), kind=CorpusKind.LLAVA, licence="CC-BY-4.0")


def _coco(folder: Path, kind: CorpusKind) -> CorpusConfig:
    images = [
        {"id": i, "file_name": f"{i}.png", "width": 8, "height": 6, "license": 1}
        for i in range(len(list(_pictures(folder, 3).iterdir())))
    ]
    document = {
        "images": images,
        "licenses": [{"id": 1, "name": "Attribution", "url": "http://creativecommons.org/licenses/by/2.0/"}],
        "categories": [{"id": 7, "name": "cup"}],
        "annotations": [
            {"id": 10 + i, "image_id": i, "caption": "A cup.", "category_id": 7, "bbox": [1, 1, 4.5, 3]}
            for i in range(3)
        ],
    }
    (folder / "x.json").write_text(json.dumps(document))
    return CorpusConfig(path=str(folder / "x.json"), kind=kind, images=folder)


def _captions(folder: Path) -> CorpusConfig:
    return _coco(folder, CorpusKind.COCO_CAPTIONS)


def _boxes(folder: Path) -> CorpusConfig:
    return _coco(folder, CorpusKind.COCO_BOXES)


def _hub(folder: Path) -> CorpusConfig:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    rows = [{"image": {"bytes": encode_picture(_picture(i)), "path": None}, "text": "A cup."} for i in range(4)]
    table = datasets.Dataset.from_list(rows, features=features)
    table.save_to_disk(str(folder))
    return CorpusConfig(
        path=str(folder), kind=CorpusKind.HUB, answer="text", licence="CC0-1.0", image_columns=["image"]
    )


@pytest.mark.parametrize("make", [_shards, _shards_of_others, _llava, _captions, _boxes, _hub])
def test_a_reader_keeps_the_contract(tmp_path: Path, make: Callable[[Path], CorpusConfig]) -> None:
    check_corpus(open_corpus(make(tmp_path / "corpus")))


def test_parts_of_a_split_keep_the_contract(tmp_path: Path) -> None:
    corpus = open_corpus(_shards(tmp_path / "corpus"))
    for part in split_by_scene(corpus, {"train": 0.7, "held_out": 0.3}).values():
        check_corpus(part)


class _Changed:
    """A corpus whose samples are changed as they are read."""

    def __init__(self, corpus: WebCorpus, change: Callable[[WebSample, int], WebSample]) -> None:
        self._corpus, self._change, self._reads = corpus, change, 0

    @property
    def name(self) -> str:
        return "changed"

    def __len__(self) -> int:
        return len(self._corpus)

    def __getitem__(self, index: int) -> WebSample:
        self._reads += 1
        return self._change(self._corpus[index], self._reads)


def test_what_a_corpus_raises_in_a_loaders_process_is_told(tmp_path: Path) -> None:
    home = os.getpid()

    def change(sample: WebSample, _: int) -> WebSample:
        if os.getpid() != home:
            raise OSError("the disk is for one process")
        return sample

    broken = "'changed' cannot be read in a forked process: OSError: the disk is for one process"
    with pytest.raises(AssertionError, match=broken):
        check_corpus(_Changed(open_corpus(_shards(tmp_path / "corpus")), change))


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (lambda sample, _: dataclasses.replace(sample, licence=""), "sample 0 of 'changed' should state its licence"),
        (lambda sample, _: dataclasses.replace(sample, answer=" "), "should state its answer"),
        (lambda sample, _: dataclasses.replace(sample, answer="<loc2000><loc0001>"), "got <loc2000>"),
        (lambda sample, _: dataclasses.replace(sample, facts={"x": {1}}), "facts that are JSON values"),
        (lambda sample, reads: dataclasses.replace(sample, answer=f"{reads}"), "differs when others are read before"),
    ],
)
def test_the_check_catches_a_broken_promise(
    tmp_path: Path, change: Callable[[WebSample, int], WebSample], broken: str
) -> None:
    corpus = open_corpus(_shards(tmp_path / "corpus"))
    with pytest.raises(AssertionError, match=broken):
        check_corpus(_Changed(corpus, change))


class _Endless(Subset):
    def __getitem__(self, index: int) -> WebSample:
        return super().__getitem__(index % len(self))


def test_the_check_catches_a_corpus_without_an_end(tmp_path: Path) -> None:
    corpus = ShardCorpus(Path(_shards(tmp_path / "corpus").path))
    with pytest.raises(AssertionError, match="it gave one for 7"):
        check_corpus(_Endless(corpus, range(7), "endless"))
