"""Answers in words with a cache against the plain forward, which sees the whole answer anew for each word."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vla.decoding.answers import answer_greedily
from vla.embodiment import CameraSpec
from vla.model.compact import CompactBackbone, CompactConfig, Prefix
from vla.model.vla_model import END_ID, Head, VlaModel, Vocabulary

NUM_TEXT, LENGTH, BATCH = 9, 7, 16


def make(seed: int) -> tuple[VlaModel, Prefix]:
    torch.manual_seed(seed)
    config = CompactConfig(width=32, layers=2, heads=2, mlp_ratio=2, channels=8, text_tokens=5, answer_tokens=LENGTH)
    cameras = [CameraSpec("scene", 16, 16), CameraSpec("wrist", 8, 8)]
    backbone = CompactBackbone(config, cameras, 3, NUM_TEXT)
    model = VlaModel(backbone, Head.SLOTS, Vocabulary(NUM_TEXT, 5), 4, LENGTH).eval()
    torch.nn.init.normal_(model.logits.weight)  # else every answer is the same
    with torch.no_grad():
        prefix = backbone.embed_question(
            torch.randint(0, 256, (BATCH, 16, 16, 3)).to(torch.uint8),
            torch.arange(BATCH) % 4 == 0,
            torch.randint(1, NUM_TEXT, (BATCH, 5)),
            torch.arange(5).expand(BATCH, -1) >= torch.randint(1, 6, (BATCH, 1)),
        )
    return model, prefix


@torch.no_grad()
def uncached(model: VlaModel, prefix: Prefix) -> Tensor:
    ids = torch.full((BATCH, LENGTH), -1)
    for index in range(LENGTH):
        logits = model.answer_logits(prefix, torch.where(ids < 0, 0, ids))[:, index, :NUM_TEXT]
        ended = (ids[:, :index] == END_ID).any(1) if index else torch.zeros(BATCH, dtype=torch.bool)
        ids[:, index] = logits.argmax(-1).masked_fill(ended, -1)
    return ids


@pytest.mark.parametrize("seed", range(4))
def test_answers_are_those_of_the_plain_forward(seed: int) -> None:
    model, prefix = make(seed)
    ids = answer_greedily(model, prefix)
    torch.testing.assert_close(ids, uncached(model, prefix))
    assert len({tuple(row) for row in ids.tolist()}) > 1


def test_an_answer_ends_where_it_says_so_and_never_in_an_action() -> None:
    for seed in range(4):
        model, prefix = make(seed)
        with torch.no_grad():
            model.logits.bias[NUM_TEXT:] = 100.0  # actions would be most likely by far
            model.logits.bias[END_ID] = 4.0
        ids = answer_greedily(model, prefix)
        assert (ids < NUM_TEXT).all()
        for row in ids.tolist():
            if END_ID in row:
                assert set(row[row.index(END_ID) + 1 :]) <= {-1}
            else:
                assert -1 not in row
