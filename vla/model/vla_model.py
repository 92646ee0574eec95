"""The model: one token sequence, `[images][instruction][state] → [action tokens | answer]`, and one vocabulary.

    ids:   0 .. text_vocabulary_size - 1            words
           text_vocabulary_size ..                  action tokens, in the tokenizer's order

One of these heads reads the hidden states, as the one switch `head=` says:

- `slots`: one learned slot a token; all slots see each other and are predicted in one pass (OpenVLA-OFT,
  arXiv:2502.19645). Tokens that are already known, of actions committed to, are read in their slots.
- `autoregressive`: each token sees those before it (RT-2, arXiv:2307.15818).
- `regression`, `flow`: numbers in place of tokens (`vla.model.continuous`).
- `insulated`: tokens, one after the other, train the backbone; a flow that reads what the backbone makes of the prefix,
  and whose gradients end there, acts (knowledge insulation, arXiv:2505.23705).

A model with `answer_tokens` also answers in words, one after the other, from the same decoder and the same logits:

    images, question  ─►  begin  three  end          begin and end are the id of padding, which is free for it
                            └──►  └──►
"""

from __future__ import annotations

import dataclasses
import enum

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from vla.model.compact import CompactBackbone, Prefix
from vla.model.continuous import ExpertConfig, FlowHead, Reader, RegressionHead

END_ID = 0
"""Begins and ends an answer in words: the id of padding, which stands for nothing else there."""


class Head(enum.Enum):
    """How actions are predicted."""

    SLOTS = "slots"
    AUTOREGRESSIVE = "autoregressive"
    REGRESSION = "regression"
    FLOW = "flow"
    INSULATED = "insulated"

    @property
    def has_tokens(self) -> bool:
        """Whether it is trained on action tokens."""
        return self not in (Head.REGRESSION, Head.FLOW)

    @property
    def is_continuous(self) -> bool:
        """Whether it acts by numbers."""
        return self not in TOKEN_HEADS


TOKEN_HEADS = (Head.SLOTS, Head.AUTOREGRESSIVE)
"""Those that act by tokens."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Where words end and action tokens begin."""

    num_text: int
    num_action: int

    @property
    def size(self) -> int:
        return self.num_text + self.num_action

    def action_id(self, token: Int64[Tensor, "*any"]) -> Int64[Tensor, "*any"]:
        """Ids in the joint vocabulary of the tokenizer's action tokens."""
        return token + self.num_text


class VlaModel(nn.Module):
    """A backbone, a head, and the joint vocabulary's logits."""

    def __init__(
        self,
        backbone: CompactBackbone,
        head: Head,
        vocabulary: Vocabulary,
        num_action_tokens: int,
        num_answer_tokens: int = 0,
        continuous: RegressionHead | FlowHead | None = None,
    ) -> None:
        super().__init__()
        require_what_acts(head, continuous)
        self.backbone, self.head, self.vocabulary = backbone, head, vocabulary
        self.num_action_tokens, self.num_answer_tokens = num_action_tokens, num_answer_tokens
        width = backbone.width
        if head.has_tokens:
            self.slots = nn.Parameter(torch.randn(num_action_tokens, width) * 0.02)
            # Row 0 stands for what is not known: the token before the first, a slot to fill; row i + 1 for token i.
            self.action_embedding = nn.Embedding(vocabulary.num_action + 1, width)
            nn.init.normal_(self.action_embedding.weight, std=0.02)
            nn.init.zeros_(self.action_embedding.weight[:1])
        if head.has_tokens or num_answer_tokens:
            self.logits = nn.Linear(width, vocabulary.size)
        if num_answer_tokens:
            self.answer_places = nn.Parameter(torch.randn(num_answer_tokens, width) * 0.02)
        self.continuous = continuous

    def forward(
        self,
        prefix: Prefix,
        actions: Int64[Tensor, "batch tokens"],
        forced: Int64[Tensor, "batch tokens"] | None = None,
    ) -> Float[Tensor, "batch tokens vocabulary"]:
        """Logits of every action token, given the true ones before it (autoregressive) or the forced ones (slots).

        Args:
            actions: action tokens, as the tokenizer numbers them; -1 is padding.
            forced: action tokens that are known; -1 where none is.
        """
        return self.read(prefix, actions, forced)[0]

    def read(
        self,
        prefix: Prefix,
        actions: Int64[Tensor, "batch tokens"],
        forced: Int64[Tensor, "batch tokens"] | None = None,
        reader: Reader | None = None,
    ) -> tuple[Float[Tensor, "batch tokens vocabulary"], Float[Tensor, "batch prefix width"]]:
        """The logits of `forward`, and what the same pass made of the prefix, which sees no action token.

        Args:
            reader: what reads in place of the backbone (`vla.model.beside`).
        """
        is_causal = self.head is not Head.SLOTS
        inputs = self.teacher_inputs(actions) if is_causal else self.slot_inputs(len(actions), forced)
        hidden = (reader or self.backbone).hidden(prefix, inputs, is_causal)
        num_prefix = prefix.tokens.shape[1]
        return self.logits(hidden[:, num_prefix:]), hidden[:, :num_prefix]

    def slot_inputs(
        self, batch: int, forced: Int64[Tensor, "batch forced"] | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """What the slots head reads: where each slot stands, and the token in it where it is known.

        Args:
            forced: for the first slots or all; -1 where none is known.
        """
        known = self.slots.new_zeros((batch, 0), dtype=torch.int64) if forced is None else forced + 1
        unknown = known.new_zeros((batch, len(self.slots) - known.shape[1]))
        return self.action_embedding(torch.cat([known, unknown], dim=1)) + self.slots

    def teacher_inputs(self, actions: Int64[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens width"]:
        """What the autoregressive head reads: the beginning, then each true token before the last."""
        begin = torch.zeros_like(actions[:, :1])
        return self.action_embedding(torch.cat([begin, actions[:, :-1] + 1], dim=1)) + self.slots

    @property
    def end_id(self) -> int:
        """Ends an answer in words."""
        return END_ID

    def answer_logits(
        self, prefix: Prefix, answers: Int64[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens vocabulary"]:
        """Logits of every token of an answer in words, given the true ones before it.

        Args:
            answers: ids, the end included; -1 is padding. At most `num_answer_tokens`.
        """
        return self.logits(self.backbone(prefix, self.answer_teacher(answers), True))

    def answer_teacher(self, answers: Int64[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens width"]:
        """What is read to predict an answer: the beginning, then each true token before the last."""
        begin = torch.full_like(answers[:, :1], END_ID)
        before = torch.cat([begin, answers[:, :-1].clamp(min=END_ID)], dim=1)
        return self.answer_inputs(before, 0)

    def answer_logits_of(
        self, prefix: Float[Tensor, "batch prefix width"], answer: Float[Tensor, "batch tokens width"]
    ) -> Float[Tensor, "batch tokens vocabulary"]:
        """Logits of an answer, of the hidden states of a prefix and of `answer_teacher` behind it."""
        return self.logits(answer)

    def answer_inputs(self, before: Int64[Tensor, "batch tokens"], first: int) -> Float[Tensor, "batch tokens width"]:
        """What is read to predict tokens `first` and on of an answer.

        Args:
            before: the id before each; `END_ID` before the first.
        """
        places = self.answer_places[first : first + before.shape[1]]
        return self.backbone.text_embedding(before) + places

    def next_input(self, token: Int64[Tensor, " batch"] | None, batch: int, index: int) -> Tensor:
        """What the autoregressive head reads to predict token `index`: (batch, 1, width)."""
        device = self.slots.device
        row = torch.zeros(batch, dtype=torch.int64, device=device) if token is None else token + 1
        return (self.action_embedding(row) + self.slots[index])[:, None]


def make_continuous(
    head: Head, width: int, horizon: int, action_dim: int, expert: ExpertConfig
) -> RegressionHead | FlowHead | None:
    """The part of a head that says numbers; None if it says tokens alone.

    Args:
        width: of the backbone's hidden states.
    """
    match head:
        case Head.REGRESSION:
            return RegressionHead(width, horizon, action_dim)
        case Head.FLOW | Head.INSULATED:
            return FlowHead(expert, width, horizon, action_dim)
        case Head.SLOTS | Head.AUTOREGRESSIVE:
            return None


def require_what_acts(head: Head, continuous: nn.Module | None) -> None:
    """Return if there is a part that says numbers just where the head acts by it.

    Raises:
        ValueError: if not.
    """
    if head.is_continuous != (continuous is not None):
        raise ValueError(f"head={head.value} acts by {'numbers' if head.is_continuous else 'tokens'}")


def token_loss(
    logits: Float[Tensor, "batch tokens vocabulary"],
    targets: Int64[Tensor, "batch tokens"],
    is_padding: Bool[Tensor, "batch tokens"],
    vocabulary: Vocabulary,
    spread: float,
    count: Int64[Tensor, ""] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy over the joint vocabulary, averaged over the tokens that are not padding.

    The target is a discrete Gaussian over the action tokens around the true one, `spread` tokens wide, since
    neighbouring bins are neighbouring actions; a spread of 0 is the plain one-hot target.

    Args:
        targets: action tokens, as the tokenizer numbers them.
        spread: standard deviation in tokens.
        count: what the sum is divided by, where this is a part of a batch; the tokens here if not given.
    """
    keep = ~is_padding.flatten()
    count = keep.sum() if count is None else count
    log_probability = logits.flatten(0, 1)[keep].float().log_softmax(-1)
    flat = targets.flatten()[keep]
    if spread == 0:
        return -log_probability.gather(1, vocabulary.action_id(flat)[:, None]).sum() / count
    token = torch.arange(vocabulary.num_action, device=logits.device)
    table = torch.softmax(-0.5 * ((token[:, None] - token[None, :]) / spread) ** 2, dim=-1)
    return -(table[flat] * log_probability[:, vocabulary.num_text :]).sum(-1).sum() / count


def answer_loss(
    logits: Float[Tensor, "batch tokens vocabulary"], answers: Int64[Tensor, "batch tokens"]
) -> Float[Tensor, "batch tokens"]:
    """Cross-entropy of each token of an answer in words over the joint vocabulary; 0 where it is padding.

    Args:
        answers: ids; -1 is padding.
    """
    flat = answers.flatten()
    losses = functional.cross_entropy(logits.flatten(0, 1).float(), flat, ignore_index=-1, reduction="none")
    return losses.unflatten(0, answers.shape)


def grounding_loss(
    maps: Float[Tensor, "batch roles cells"],
    points: Float[Tensor, "batch roles 2"],
    rows: int,
    columns: int,
    count: Int64[Tensor, ""] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy between each role's attention and the cells around its true point.

    The point's weight is shared bilinearly by the four nearest cells, so that the attention's mean is the point. Roles
    without a point (NaN), or whose point lies outside the image, do not count.

    Args:
        points: u right, v down, in 0..1.
        count: what the sum is divided by, where this is a part of a batch; the points here if not given.
    """
    present = is_in_picture(points)
    if not present.any():
        return maps.sum() * 0.0
    log_weight = maps[present].float().log_softmax(-1)  # (points, cells)
    u, v = points[present].unbind(-1)
    count = present.sum() if count is None else count
    return -(bilinear_cells(u, v, rows, columns) * log_weight).sum(-1).sum() / count


def is_in_picture(points: Float[Tensor, "batch roles 2"]) -> Bool[Tensor, "batch roles"]:
    """Which points are there, and inside the picture."""
    return ((points >= 0) & (points <= 1)).all(-1)  # NaN compares false


def bilinear_cells(
    u: Float[Tensor, " points"], v: Float[Tensor, " points"], rows: int, columns: int
) -> Float[Tensor, "points cells"]:
    """Weights of the cells whose centres surround a point; they sum to one."""

    def along(position: Tensor, count: int) -> Tensor:
        centre = torch.arange(count, device=position.device, dtype=position.dtype)
        where = (position * count - 0.5).clamp(0, count - 1)
        return (1 - (where[:, None] - centre).abs()).clamp(min=0)

    return (along(v, rows)[:, :, None] * along(u, columns)[:, None, :]).flatten(1)
