"""Checkpoints that a thread writes: one after the other, and never a failure that nobody hears of."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from pathlib import Path

import pytest

import vla_policies.checkpoint_writer as writer_module
from vla_policies.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from vla_policies.checkpoint_writer import CheckpointWriter


def test_what_was_given_is_on_disk_once_waited_for(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    with contextlib.closing(CheckpointWriter()) as writer:
        for step in (1, 2, 3):
            writer.save(tmp_path, dataclasses.replace(small_checkpoint, step=step))
        writer.wait()
        assert load_checkpoint(tmp_path).step == 3


def test_training_goes_on_while_a_checkpoint_is_written(
    small_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()

    def held(directory: Path, checkpoint: Checkpoint) -> None:
        assert may_go_on.wait(60)
        save_checkpoint(directory, checkpoint)

    monkeypatch.setattr(writer_module, "save_checkpoint", held)
    with contextlib.closing(CheckpointWriter()) as writer:
        writer.save(tmp_path, small_checkpoint)  # returns, though nothing can be written yet
        assert not list(tmp_path.iterdir())
        may_go_on.set()
    assert load_checkpoint(tmp_path).step == small_checkpoint.step


def test_a_checkpoint_that_could_not_be_written_is_told_at_the_next(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with contextlib.closing(CheckpointWriter()) as writer:
        writer.save(tmp_path / "file", small_checkpoint)
        with pytest.raises(OSError, match="file"):
            writer.save(tmp_path, small_checkpoint)
