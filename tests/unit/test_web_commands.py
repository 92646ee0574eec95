from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from vla.errors import ConfigError
from vla_datasets.web.corpora import CorpusConfig, CorpusKind, open_corpus
from vla_datasets.web.samples import WebSample, location_words
from vla_datasets.web.shards import write_shards
from vla_datasets.web.surveys import spread
from vla_datasets.web.web_command import info_main, view_main


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    picture = np.full((60, 80, 3), 120, np.uint8)
    box, point = location_words(0.25, 0.5, 0.75, 1.0), location_words(0.5, 0.5)
    samples = [
        WebSample((picture,), "detect cup", f"{box} cup", "box", "CC0-1.0", "x:0", "s0"),
        WebSample((picture,), f"what is at {point}?", "a <b>cup</b>", "vqa", "CC0-1.0", "x:1", "s0", {"n": 1}),
        WebSample((picture, picture), "what changed?", "nothing", "difference", "CC-BY-4.0", "x:2", "s1"),
        WebSample((), "two plus one", "three", "arithmetic", "CC0-1.0", "x:3"),
    ]
    write_shards(samples, tmp_path / "web")
    return tmp_path / "web"


def test_info_counts_kinds_licences_and_sizes(shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert info_main([f"data={shards}"]) == 0
    shown = capsys.readouterr().out
    assert "web: all samples, 3 scenes" in shown
    assert re.search(r"arithmetic\s*│\s*1 │ 25\.0%\s*│\s*0\.00", shown)
    assert "[box] cup" in shown
    assert re.search(r"CC0-1\.0\s*│\s*3", shown)
    assert re.search(r"80 x 60\s*│\s*4", shown)


def test_a_gallery_shows_samples_with_their_places(shards: Path, tmp_path: Path) -> None:
    assert view_main([f"data={shards}", f"out={tmp_path / 'out'}"]) == 0
    page = (tmp_path / "out" / "index.html").read_text()
    for file in re.findall(r'src="([^"]+)"', page):
        assert cv2.imread(str(tmp_path / "out" / file)) is not None
    x, y, width, height = map(
        float, re.findall(r'class="over" x="(.+?)" y="(.+?)" width="(.+?)" height="(.+?)"', page)[0]
    )
    assert (x, y, width, height) == pytest.approx((40, 15, 40, 30), abs=0.1)
    assert "<circle" in page
    assert "a &lt;b&gt;cup&lt;/b&gt;" in page
    assert "<b>cup" not in page
    assert "http" not in page


def test_fewer_samples_come_one_from_each_part(shards: Path) -> None:
    corpus = open_corpus(CorpusConfig(path=str(shards)))
    first, second = spread(corpus, 2)
    assert first in (0, 1)
    assert second in (2, 3)
    assert spread(corpus, 0) == spread(corpus, 9) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data=nowhere"], "nowhere is not a folder of shards"),
        (["data=nowhere", "samples=-1"], "samples is a count"),
        (["data=x", "corpus.licence=CC0-1.0"], "say where their answer stands too"),
        (["data=x", "corpus.kind=coco_boxes"], "needs images="),
        (["data=x", "corpus.kind=hub"], "needs answer="),
        (["data=x", "corpus.kind=llava", "corpus.answer=txt"], "kind=llava does not use answer="),
    ],
)
def test_what_cannot_be_opened_is_refused_in_a_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert info_main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_gallery_is_not_written_over_a_file(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert view_main([f"data={shards}", f"out={tmp_path / 'file'}"]) == 2
    assert "is a file: name the folder" in capsys.readouterr().err


def test_a_corpus_needs_a_path() -> None:
    with pytest.raises(ConfigError, match="path= is empty"):
        open_corpus(CorpusConfig(kind=CorpusKind.LLAVA))
