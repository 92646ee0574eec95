"""Pages keep up with the code: links lead somewhere, commands and imports exist."""

from __future__ import annotations

import ast
import importlib
import itertools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

LINK = re.compile(r"\]\((?!https?:|#)(?P<target>[^)#]+)")
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`(?P<path>(?:vla|datasets|policies|sim|robot_io|configs|tests|benchmarks|docs|examples)/[\w./-]+)`")


def pages(root: Path) -> Iterator[Path]:
    for pattern in ("*.md", "*/*.md", "docs/**/*.md"):
        yield from (path for path in root.glob(pattern) if not path.parts[-2].startswith("."))


def blocks(root: Path, language: str) -> Iterator[tuple[Path, str]]:
    for page in pages(root):
        for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
            if match["language"] == language:
                yield page, match["body"]


def test_every_link_leads_to_a_file(root: Path) -> None:
    broken = [
        f"{page.relative_to(root)}: {match['target']}"
        for page in pages(root)
        for match in LINK.finditer(page.read_text(encoding="utf-8"))
        if not (page.parent / match["target"]).exists()
    ]
    assert broken == []


def test_every_page_can_be_reached_from_the_index(root: Path) -> None:
    folder = root / "docs"
    linked = {match["target"] for match in LINK.finditer((folder / "index.md").read_text(encoding="utf-8"))}
    assert {str(page.relative_to(folder)) for page in folder.rglob("*.md")} - {"index.md"} - linked == set()


def test_every_key_in_a_shown_command_exists(root: Path) -> None:
    known = json.loads((root / "tests" / "golden" / "option_names.json").read_text())
    shown = [
        line.split("#")[0]
        for _, body in blocks(root, "")
        for line in body.replace("\\\n", "").splitlines()
        if line.startswith("vla ")
    ]
    assert len(shown) > 10
    for line in shown:
        words = shlex.split(line)[1:]
        command = " ".join(itertools.takewhile(lambda word: "=" not in word and word[0] != "-", words))
        arguments = words[len(command.split()) :]
        keys = {argument.strip("[").partition("=")[0] for argument in arguments if "=" in argument}
        assert keys - set(known[command]) == set(), line


def test_every_import_in_a_shown_script_exists(root: Path) -> None:
    for page, body in blocks(root, "python"):
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = importlib.import_module(node.module)
                missing = [name.name for name in node.names if not hasattr(module, name.name)]
                assert missing == [], f"{page.relative_to(root)}: {node.module}"


def test_every_file_that_is_named_exists(root: Path) -> None:
    missing = [
        f"{page.relative_to(root)}: {match['path']}"
        for page in pages(root)
        for match in FILE.finditer(page.read_text(encoding="utf-8"))
        if not any((folder / match["path"]).exists() for folder in (root, page.parent))
    ]
    assert missing == []


@pytest.mark.parametrize("word", ["make demo", "make test", "not safety-rated"])
def test_the_readme_says(root: Path, word: str) -> None:
    assert word in (root / "README.md").read_text(encoding="utf-8")


def test_the_readme_begins_with_the_two_commands(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    assert 0 < text.index("make demo") < text.index("make test") < text.index("![") < text.index("## What it is")
