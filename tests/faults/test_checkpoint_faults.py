"""Checkpoints that were cut short, altered or interrupted: an error that names the file, or the one before."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import vla_policies.checkpoint as checkpoint_module
from vla.errors import CheckpointError
from vla_policies.checkpoint import MANIFEST, Checkpoint, load_checkpoint, save_checkpoint


@pytest.fixture
def saved(small_checkpoint: Checkpoint, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path, small_checkpoint)
    return tmp_path


def test_a_flipped_byte_is_found(saved: Path) -> None:
    weights = next(saved.glob("weights-*"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{weights.name} is altered"):
        load_checkpoint(saved)


def test_a_short_file_is_found(saved: Path) -> None:
    weights = next(saved.glob("weights-*"))
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=rf"{weights.name} is altered"):
        load_checkpoint(saved)


def test_a_missing_file_is_found(saved: Path) -> None:
    weights = next(saved.glob("weights-*"))
    weights.unlink()
    with pytest.raises(CheckpointError, match=rf"{weights.name} is missing"):
        load_checkpoint(saved)


def test_an_absent_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"no checkpoint at {tmp_path / 'none'}"):
        load_checkpoint(tmp_path / "none")


def test_an_altered_embodiment_is_found(saved: Path) -> None:
    manifest = json.loads((saved / MANIFEST).read_text())
    manifest["embodiment"]["control_hz"] = 20.0
    (saved / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="fingerprint"):
        load_checkpoint(saved)


def test_a_manifest_that_names_a_file_elsewhere_reads_nothing(saved: Path) -> None:
    manifest = json.loads((saved / MANIFEST).read_text())
    (promised,) = manifest["files"].values()
    manifest["files"] = {"weights-/../../elsewhere.safetensors": promised}
    (saved / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="no weights to load"):
        load_checkpoint(saved)


@pytest.mark.parametrize("last_write", [1, 2])
def test_a_save_that_is_killed_leaves_the_checkpoint_before(
    saved: Path, small_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, last_write: int
) -> None:
    writes = 0
    write = checkpoint_module.write_atomically

    def killed(path: Path, content: bytes | str) -> None:
        nonlocal writes
        writes += 1
        if writes == last_write:
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(checkpoint_module, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(saved, dataclasses.replace(small_checkpoint, step=8))
    assert load_checkpoint(saved).step == small_checkpoint.step
