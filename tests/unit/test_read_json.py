"""JSON objects in files of ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vla.errors import CheckpointError
from vla.files import read_json


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON: Expecting property name"),
        ("[" * 100_000, "is not JSON: "),
        (b"\xff\xfe\xfd", "is not JSON: "),
        ("[1]", "is a JSON list, expected an object"),
    ],
)
def test_what_is_no_json_object_is_refused_by_name(tmp_path: Path, content: str | bytes, message: str) -> None:
    file = tmp_path / "tree.json"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CheckpointError, match=f"^{re.escape(str(file))} {message}"):
        read_json(file, CheckpointError, absent="there is none")


def test_a_file_that_is_absent_is_told_from_one_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^there is none$"):
        read_json(tmp_path / "tree.json", CheckpointError, absent="there is none")
    with pytest.raises(CheckpointError, match=r"cannot be read: Is a directory$"):
        read_json(tmp_path, CheckpointError, absent="there is none")


def test_an_object_is_read(tmp_path: Path) -> None:
    (tmp_path / "tree.json").write_text('{"a": [1]}', encoding="utf-8")
    assert read_json(tmp_path / "tree.json", CheckpointError, absent="there is none") == {"a": [1]}
