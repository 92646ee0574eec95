from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vla_datasets.web.shards import ShardCorpus

# Writes 4 shards of text, and is killed at the `at`-th call of os.`call`: before it, or after.
_WRITER = """
import itertools, os, signal, sys
from pathlib import Path
from vla_datasets.web.samples import WebSample
from vla_datasets.web.shards import write_shards

folder, call, at, when = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
samples = [WebSample((), f"{n} plus one", f"{n + 1}", "arithmetic", "CC0-1.0", f"x:{n}") for n in range(11)]
original, calls = getattr(os, call), itertools.count(1)

def deadly(*arguments):
    number = next(calls)
    if number == at and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    original(*arguments)
    if number == at:
        os.kill(os.getpid(), signal.SIGKILL)

setattr(os, call, deadly)
write_shards(samples, folder, 3)
"""


def _write(folder: Path, call: str = "replace", at: int = 0, when: str = "after") -> int:
    arguments = [sys.executable, "-c", _WRITER, str(folder), call, str(at), when]
    return subprocess.run(arguments, capture_output=True, timeout=60).returncode


def _bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    assert _write(folder) == 0
    return _bytes_of(folder)


@pytest.mark.parametrize(
    ("call", "at", "when"),
    [
        ("replace", 1, "before"),
        ("replace", 2, "before"),
        ("replace", 3, "after"),
        ("fsync", 4, "before"),
        ("replace", 6, "before"),
        ("replace", 6, "after"),
    ],
)
def test_a_killed_writer_goes_on_to_the_bytes_of_one_that_was_not(
    tmp_path: Path, whole: dict[str, bytes], call: str, at: int, when: str
) -> None:
    assert _write(tmp_path, call, at, when) == -signal.SIGKILL
    for name in _bytes_of(tmp_path).keys() & whole.keys() - {"index.json"}:
        assert (tmp_path / name).read_bytes() == whole[name]
    assert _write(tmp_path) == 0
    assert _bytes_of(tmp_path) == whole
    ShardCorpus(tmp_path).verify()
