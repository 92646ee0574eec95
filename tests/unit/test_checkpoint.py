from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vla.errors import CheckpointError, ConfigError
from vla.testing import SMALL_EMBODIMENT
from vla.tokens.fast import FastTokenizer
from vla_policies.checkpoint import MANIFEST, Checkpoint, load_checkpoint, save_checkpoint


def test_a_checkpoint_reads_back_whole(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, small_checkpoint)
    copy = load_checkpoint(tmp_path)
    assert copy.embodiment == small_checkpoint.embodiment
    assert copy.statistics.to_json() == small_checkpoint.statistics.to_json()
    assert copy.action_tokenizer.to_json() == small_checkpoint.action_tokenizer.to_json()
    assert copy.text_tokenizer.encode("pick up") == small_checkpoint.text_tokenizer.encode("pick up")
    assert (copy.backbone, copy.head, copy.step) == (small_checkpoint.backbone, small_checkpoint.head, 7)
    for name, tensor in small_checkpoint.weights.items():
        assert torch.equal(copy.weights[name], tensor)


def test_only_the_newest_weights_stay(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, small_checkpoint)
    save_checkpoint(tmp_path, dataclasses.replace(small_checkpoint, step=8))
    assert sorted(path.name for path in tmp_path.iterdir()) == [MANIFEST, "weights-00000008.safetensors"]
    assert load_checkpoint(tmp_path).step == 8


def test_a_checkpoint_without_training_state_cannot_go_on(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, small_checkpoint)
    with pytest.raises(CheckpointError, match="has no training to load"):
        load_checkpoint(tmp_path, with_training=True)


def test_weights_of_another_model_are_refused(small_checkpoint: Checkpoint) -> None:
    wider = dataclasses.replace(small_checkpoint.backbone, width=64)
    with pytest.raises(CheckpointError, match="not of the model"):
        dataclasses.replace(small_checkpoint, backbone=wider).build_model()


def test_slots_for_tokens_of_no_fixed_number_are_refused(small_checkpoint: Checkpoint) -> None:
    tokenizer = FastTokenizer.fit(
        np.random.default_rng(0).uniform(-0.01, 0.01, (64, 2, SMALL_EMBODIMENT.action_dim)).astype(np.float32),
        SMALL_EMBODIMENT,
        vocabulary_size=128,
    )
    with pytest.raises(ConfigError, match=r"'fast' takes up to .* use head=autoregressive"):
        dataclasses.replace(small_checkpoint, action_tokenizer=tokenizer).build_model()


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"format": "other"}))
    with pytest.raises(CheckpointError, match=r"not of format 'vla\.checkpoint/1'"):
        load_checkpoint(tmp_path)
