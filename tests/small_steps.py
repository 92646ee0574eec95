"""Samples and a model as small as they can be, whose masks make every sample weigh differently."""

from __future__ import annotations

import torch

from vla.embodiment import CameraSpec
from vla.model.compact import CompactBackbone, CompactConfig
from vla.model.continuous import ChunkTargets, ExpertConfig
from vla.model.vla_model import Head, VlaModel, Vocabulary, make_continuous
from vla_policies.batches import Batch
from vla_policies.web_batches import WebBatch

SAMPLES, TOKENS, HORIZON, ACTION_DIM = 12, 4, 3, 2


def make_model(head: Head = Head.SLOTS) -> VlaModel:
    torch.manual_seed(0)
    sizes = CompactConfig(width=16, layers=1, heads=2, mlp_ratio=2, channels=8, text_tokens=4, answer_tokens=5)
    backbone = CompactBackbone(sizes, [CameraSpec("scene", 8, 8)], 3, 20)
    continuous = make_continuous(head, 16, HORIZON, ACTION_DIM, ExpertConfig(width=16, layers=1, heads=2))
    return VlaModel(backbone, head, Vocabulary(20, 7), TOKENS, 5, continuous)


def make_robot() -> Batch:
    """Samples that weigh differently: most of the first half's tokens, actions and points do not count."""
    random = torch.Generator().manual_seed(1)
    is_padding = torch.zeros(SAMPLES, TOKENS, dtype=torch.bool)
    is_padding[: SAMPLES // 2, 1:] = True
    points = torch.rand(SAMPLES, 2, 2, generator=random)
    points[: SAMPLES // 2, 0] = torch.nan
    return Batch(
        images={"scene": torch.randint(0, 256, (SAMPLES, 8, 8, 3), generator=random).to(torch.uint8)},
        text=torch.randint(1, 20, (SAMPLES, 4), generator=random),
        text_is_padding=torch.zeros(SAMPLES, 4, dtype=torch.bool),
        state=torch.randn(SAMPLES, 3, generator=random),
        actions=torch.randint(0, 7, (SAMPLES, TOKENS), generator=random),
        is_padding=is_padding,
        points=points,
        chunks=ChunkTargets(
            actions=torch.randn(SAMPLES, HORIZON, ACTION_DIM, generator=random),
            is_committed=torch.zeros(SAMPLES, HORIZON, dtype=torch.bool),
            is_padding=is_padding[:, :HORIZON],
            noise=torch.randn(SAMPLES, HORIZON, ACTION_DIM, generator=random),
            time=torch.rand(SAMPLES, generator=random),
        ),
    )


def make_web() -> WebBatch:
    """Short answers first, then long ones; of two sources."""
    random = torch.Generator().manual_seed(2)
    answers = torch.randint(1, 20, (7, 5), generator=random)
    answers[:4, 1:] = -1
    return WebBatch(
        image=torch.randint(0, 256, (7, 8, 8, 3), generator=random).to(torch.uint8),
        is_blind=torch.tensor([False, True, False, False, True, False, False]),
        text=torch.randint(1, 20, (7, 4), generator=random),
        text_is_padding=torch.zeros(7, 4, dtype=torch.bool),
        answers=answers,
        points=torch.rand(7, 2, 2, generator=random),
        source=torch.tensor([0, 0, 1, 0, 1, 1, 1]),
        sources=("a", "b"),
    )
