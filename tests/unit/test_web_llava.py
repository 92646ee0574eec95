from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla.errors import ConfigError, DataError
from vla_datasets.web.llava import LlavaCorpus
from vla_datasets.web.pictures import encode_picture

_TURNS = [
    {"from": "human", "value": "<image>\nWhat is it?"},
    {"from": "gpt", "value": "A cup."},
    {"from": "human", "value": "Is it red?"},
    {"from": "gpt", "value": "Yes."},
]


def _open(folder: Path, *entries: Any, licence: str = "CC-BY-4.0") -> LlavaCorpus:
    (folder / "a").mkdir(exist_ok=True)
    (folder / "a" / "1.png").write_bytes(encode_picture(np.full((4, 6, 3), 9, np.uint8)))
    (folder / "x.json").write_text(json.dumps(entries))
    return LlavaCorpus(folder / "x.json", licence)


def test_each_question_with_its_answer_is_a_sample_of_one_scene(tmp_path: Path) -> None:
    corpus = _open(tmp_path, {"id": 17, "image": "a/1.png", "conversations": _TURNS})
    first, second = corpus[0], corpus[1]
    assert (first.question, first.answer, first.source) == ("What is it?", "A cup.", "x:17/0")
    assert (second.question, second.answer, second.source) == ("Is it red?", "Yes.", "x:17/1")
    assert first.scene == second.scene == "x:a/1.png"
    assert first.images[0].shape == (4, 6, 3)


def test_a_conversation_without_a_picture_is_text_alone(tmp_path: Path) -> None:
    assert _open(tmp_path, {"id": "t", "conversations": _TURNS[2:]})[0].images == ()


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../x.png", "a\\..\\x.png"])
def test_a_picture_outside_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="entry 0 names a picture outside of"):
        _open(tmp_path, {"id": "1", "image": name, "conversations": _TURNS})


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    corpus = _open(inside, {"id": "1", "image": "a/link.png", "conversations": _TURNS})
    (tmp_path / "secret.png").write_bytes(encode_picture(np.zeros((2, 2, 3), np.uint8)))
    (inside / "a" / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(DataError, match=r"link\.png is a link to a file outside"):
        corpus[0]


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a/2\.png cannot be read"):
        _open(tmp_path, {"id": "1", "image": "a/2.png", "conversations": _TURNS})[0]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("text", "entry 0 should be an object"),
        ({"image": 3, "conversations": _TURNS}, "should have a path under 'image'"),
        ({"image": "a/1.png", "conversations": _TURNS[:3]}, "should have pairs of turns"),
        ({"image": "a/1.png", "conversations": [_TURNS[1], _TURNS[0]]}, "turn 0 should have a text from 'human'"),
        ({"image": "a/1.png", "conversations": [{"from": "system", "value": "x"}, _TURNS[1]]}, "from 'human'"),
        ({"image": "a/1.png", "conversations": [_TURNS[0], {"from": "gpt", "value": " "}]}, "from 'gpt'"),
        ({"conversations": _TURNS}, "1 markers <image> for 0 pictures"),
    ],
)
def test_an_entry_that_is_not_as_the_format_says_is_refused(tmp_path: Path, entry: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        _open(tmp_path, entry)


def test_a_licence_must_be_stated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="licence= is empty"):
        _open(tmp_path, {"conversations": _TURNS}, licence=" ")


@pytest.mark.parametrize(("content", "message"), [("[", "is not JSON"), ("{}", "a list of conversations")])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(DataError, match=message):
        LlavaCorpus(tmp_path / "x.json", "CC0-1.0")
