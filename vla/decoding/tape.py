"""What decoding reads and writes, at fixed addresses and of fixed shapes, and how one more token is written.

    forced, draws ──┐
    logits ─────────┼─► mask by the state's row of the table ─► choose ─► ids, next state, next place
    state ──────────┘

No step here looks at a value from the host's side, so that a graph can be captured of any number of them. Behind the
last place nothing is allowed, so that steps too many write padding.
"""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vla.decoding.choosing import Chooser, entropy
from vla.decoding.grammar_table import GrammarTable
from vla.errors import ActionError
from vla.interfaces import PADDING_ID


@dataclasses.dataclass(frozen=True)
class Decoded:
    """Action tokens, and how sure the model was of each."""

    ids: Int64[Tensor, "batch tokens"]
    """As the action tokenizer numbers them; -1 behind the end of a row."""
    log_probability: Float[Tensor, "batch tokens"]
    """Of each id in the distribution it was taken from; 0 behind the end of a row."""
    entropy: Float[Tensor, "batch tokens"]
    """Of that distribution, in nats; 0 behind the end of a row."""
    num_passes: int = 0
    """How often the model was asked."""

    @property
    def lengths(self) -> Int64[Tensor, " batch"]:
        """Tokens of each row."""
        return (self.ids != PADDING_ID).sum(1)


@dataclasses.dataclass(frozen=True)
class Tape:
    """The tensors of one batch's decoding."""

    forced: Int64[Tensor, "batch places"]
    draws: Float[Tensor, "batch places"]
    ids: Int64[Tensor, "batch places"]
    masked: Float[Tensor, "batch places actions"]
    """Logits of the allowed ids; -inf elsewhere."""
    state: Int64[Tensor, " batch"]
    """Of the grammar, before the present place."""
    token: Int64[Tensor, " batch"]
    """The id before the present place."""
    index: Int64[Tensor, " 1"]
    """The present place."""

    @staticmethod
    def allocate(batch: int, places: int, num_actions: int, device: torch.device) -> Tape:
        """A tape of `places` tokens."""
        ids = torch.full((batch, places), PADDING_ID, dtype=torch.int64, device=device)
        return Tape(
            forced=ids.clone(),
            draws=torch.zeros((batch, places), device=device),
            ids=ids,
            masked=torch.zeros((batch, places, num_actions), device=device),
            state=ids.new_zeros(batch),
            token=ids.new_zeros(batch),
            index=ids.new_zeros(1),
        )

    def rewind(self) -> None:
        """Begin again."""
        self.ids.fill_(PADDING_ID)
        self.state.zero_()
        self.index.zero_()

    def write(self, table: GrammarTable, chooser: Chooser, logits: Float[Tensor, "batch actions"]) -> None:
        """Choose the id of the present place, and go on to the next."""
        allowed = table.allowed(self.state, table.max_tokens - self.index)
        masked = chooser.mask(logits, allowed)
        forced = self.forced.index_select(1, self.index)[:, 0]
        free = chooser.choose(masked, allowed, self.draws.index_select(1, self.index)[:, 0])
        token = torch.where(forced >= 0, forced, free)
        has_ended = ~allowed.any(-1)
        if chooser.stop_entropy is not None:
            has_ended = has_ended | chooser.stops(masked, table.accepting[self.state] & (forced < 0))
        self.masked.index_copy_(1, self.index, masked[:, None])
        self.ids.index_copy_(1, self.index, token.masked_fill(has_ended, PADDING_ID)[:, None])
        self.state.copy_(table.next_state[self.state, token].masked_fill(has_ended, table.end))
        self.token.copy_(token)
        self.index.add_(1)

    def write_all(self, table: GrammarTable, chooser: Chooser, logits: Float[Tensor, "batch tokens actions"]) -> None:
        """Choose all ids at once or, where a state depends on the ids before it, one after the other."""
        if table.line is None or chooser.stop_entropy is not None:
            for index in range(table.max_tokens):
                self.write(table, chooser, logits[:, index])
            return
        remaining = torch.arange(table.max_tokens, 0, -1, device=logits.device)
        allowed = table.allowed(table.line, remaining).expand(len(logits), -1, -1)
        masked = chooser.mask(logits[:, : table.max_tokens], allowed)
        forced, draws = self.forced[:, : table.max_tokens], self.draws[:, : table.max_tokens]
        free = chooser.choose(masked, allowed, draws)
        self.ids[:, : table.max_tokens] = torch.where(forced >= 0, forced, free)
        self.masked[:, : table.max_tokens] = masked

    def has_ended(self, table: GrammarTable) -> bool:
        """Whether all rows have; the host waits for the answer."""
        return bool((table.needed[self.state] >= table.max_tokens - self.index).all())

    def read(self, max_tokens: int, num_passes: int) -> Decoded:
        """What was written.

        Raises:
            ActionError: if the model's logits were not finite.
        """
        ids, masked = self.ids[:, :max_tokens].clone(), self.masked[:, :max_tokens]
        is_padding = ids == PADDING_ID
        distribution = masked.log_softmax(-1)
        chosen = distribution.gather(2, ids.clamp(min=0)[..., None])[..., 0].masked_fill(is_padding, 0)
        if not chosen.isfinite().all():
            row, index = (int(number) for number in (~chosen.isfinite()).nonzero()[0])
            raise ActionError(f"the model's logits of token {index} of row {row} are not finite")
        return Decoded(ids, chosen, entropy(distribution).masked_fill(is_padding, 0), num_passes)
