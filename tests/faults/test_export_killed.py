"""An export that is killed leaves nothing under its name, and the next one cleans up after it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from vla.errors import ConfigError
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.exchange.lerobot_reader import open_source
from vla_datasets.exchange.staged_folder import staged_folder
from vla_datasets.store import EpisodeStore

KILLED_HALFWAY = """
import os, signal, sys
from vla import commands
from vla_datasets.exchange.lerobot_writer import LeRobotWriter
append, count = LeRobotWriter.append, 0
def dying(self, episode):
    global count
    append(self, episode)
    count += 1
    if count == 2:
        os.kill(os.getpid(), signal.SIGKILL)
LeRobotWriter.append = dying
commands.main(sys.argv[1:])
"""


def test_a_killed_export_leaves_nothing_under_its_name(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path / "store", SMALL_EMBODIMENT)
    for seed in range(3):
        store.append(make_episode(SMALL_EMBODIMENT, steps=4, seed=seed))
    out = tmp_path / "exports" / "out"
    arguments = ["data", "export", "format=lerobot", f"data={tmp_path / 'store'}", f"out={out}"]
    killed = subprocess.run([sys.executable, "-c", KILLED_HALFWAY, *arguments], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    assert len(os.listdir(out.parent)) == 1
    subprocess.run([sys.executable, "-m", "vla", *arguments], check=True, capture_output=True)
    assert os.listdir(out.parent) == ["out"]
    assert len(open_source(out)) == 3


def test_a_folder_that_is_being_filled_is_left_alone(tmp_path: Path) -> None:
    with contextlib.suppress(ConfigError), staged_folder(tmp_path / "out") as first:
        with staged_folder(tmp_path / "out") as rival:
            assert first.exists()
            (rival / "file").write_text("the rival's", encoding="utf-8")
        assert first.exists()
    assert (tmp_path / "out/file").read_text(encoding="utf-8") == "the rival's"
    assert os.listdir(tmp_path) == ["out"]
