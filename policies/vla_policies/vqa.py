"""What a model knows of pictures and words: its answers in words, and where it looks, on samples with known answers.

    samples ─► prefix ─► answer in words, greedily ─► right or not, by kind
                  └────► where the named roles look ─► near or not
           ─► the same without the picture ────────► what words alone give away

Run on what training never saw, before robot training and after it, this is the gate that says what the arm's training
cost in language and vision.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vla.errors import ConfigError
from vla.intervals import Share, share
from vla.model.backbone import Embedded
from vla.model.kinds import AnyBackboneConfig, AnyModel
from vla.model.vla_model import VlaModel
from vla.tokens.words import WordTokenizer
from vla_policies.telling import tell
from vla_policies.voice import Voice
from vla_policies.vqa_scores import NEAR, Score, distance, score
from vla_policies.web_batches import WebBatches
from vla_policies.web_rows import WebRows

BATCH = 64
"""Questions asked at once; always as many, so that an answer does not depend on how many there are."""


@dataclasses.dataclass(frozen=True)
class Answered:
    """One question, and what became of it."""

    kind: str
    question: str
    true: str
    said: str
    blind: str
    """What is said without the picture."""
    score: Score
    blind_score: Score
    looked: tuple[bool, ...]
    """Of each role that is told where to look: whether it looks there."""


@dataclasses.dataclass(frozen=True)
class KindScores:
    """Of all questions of a kind."""

    exact: Share
    soft: float
    blind: Share
    """Exact, without the picture."""
    distance: float | None
    """On average, in shares of the diagonal; None without places."""
    looked: Share | None
    """Of the roles that are told where to look, those that look near there; None without any."""

    @staticmethod
    def of(answered: Sequence[Answered]) -> KindScores:
        far = [a.score.distance for a in answered if a.score.distance is not None]
        looked = [near for a in answered for near in a.looked]
        return KindScores(
            exact=share(a.score.is_right for a in answered),
            soft=float(np.mean([a.score.soft for a in answered])),
            blind=share(a.blind_score.is_right for a in answered),
            distance=float(np.mean(far)) if far else None,
            looked=share(looked) if looked else None,
        )

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class VqaReport:
    """Figures of all questions, and by kind."""

    all: KindScores
    kinds: Mapping[str, KindScores]
    left_out: Mapping[str, int]
    """By kind, what the model cannot be asked: several pictures, or too many words."""
    answered: Sequence[Answered]

    def to_json(self) -> dict[str, Any]:
        """The figures, without the single answers."""
        return {
            "all": self.all.to_json(),
            "kinds": {kind: scores.to_json() for kind, scores in self.kinds.items()},
            "left_out": dict(self.left_out),
        }


def measure_vqa(model: AnyModel, tokenizer: WordTokenizer, backbone: AnyBackboneConfig, rows: WebRows) -> VqaReport:
    """Ask a model everything in `rows`, whose pictures have the size that the backbone sees (`seen_by`).

    Raises:
        ConfigError: if the model does not answer in words, or nothing can be asked.
    """
    if not model.num_answer_tokens:
        raise ConfigError("this policy does not answer in words (answer_tokens=0): train it with web=")
    voice = Voice.of(backbone, model.vocabulary.num_action)
    asked = WebBatches(rows, tokenizer, voice, device=next(model.parameters()).device, seed=0)
    fitting = asked.fitting
    answered = [
        answer
        for start in range(0, len(fitting), BATCH)
        for answer in _ask(model.eval(), tokenizer, rows, asked, fitting[start : start + BATCH])
    ]
    kinds = sorted({answer.kind for answer in answered})
    return VqaReport(
        all=KindScores.of(answered),
        kinds={kind: KindScores.of([a for a in answered if a.kind == kind]) for kind in kinds},
        left_out=dict(sorted((asked.too_long + rows.left_out).items())),
        answered=answered,
    )


@torch.no_grad()
def _ask(
    model: AnyModel, tokenizer: WordTokenizer, rows: WebRows, asked: WebBatches, index: Int64[np.ndarray, " rows"]
) -> list[Answered]:
    padded = np.concatenate([index, np.repeat(index[:1], BATCH - len(index))])
    batch = asked.batch(padded, None)
    embed = model.backbone.embed_question
    prefix = embed(batch.image, batch.is_blind, batch.text, batch.text_is_padding)
    blind = embed(batch.image, torch.ones_like(batch.is_blind), batch.text, batch.text_is_padding)
    said, said_blind = (tell(model, tokenizer, seen) for seen in (prefix, blind))
    looks = _looks(model, prefix)
    return [
        Answered(
            kind=rows.kinds[row],
            question=rows.questions[row],
            true=rows.answers[row],
            said=said[place],
            blind=said_blind[place],
            score=score(said[place], rows.answers[row]),
            blind_score=score(said_blind[place], rows.answers[row]),
            looked=() if looks is None else _near(looks[place].tolist(), rows.points[row].tolist()),
        )
        for place, row in enumerate(index)
    ]


def _looks(model: AnyModel, prefix: Embedded) -> Float[Tensor, "batch roles 2"] | None:
    """Where each role looks on average, as the arm is told: u right, v down; None where no query has a name."""
    if not isinstance(model, VlaModel) or prefix.grounding is None:
        return None
    cells: Any = model.backbone.connectors[0].cells
    return prefix.grounding.softmax(-1) @ cells


def _near(looks: list[list[float]], points: list[list[float]]) -> tuple[bool, ...]:
    """Of each role that has a point."""
    return tuple(
        distance(tuple(look), tuple(point)) <= NEAR
        for look, point in zip(looks, points, strict=True)
        if not np.isnan(point).any()
    )
