"""Constrained decoding: in every state of the grammar, one id among those allowed.

    prefix ─► model ─► logits ─► mask: a row of the grammar's table ─► one id ─► the next row ─► ...

What comes out is always a sentence of the grammar, which the tokenizer decodes to exactly one chunk. A row has ended
when its state accepts and allows nothing more, and its ids are -1 from there on. The decoder knows ids, not robots.
"""

from __future__ import annotations

import enum

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vla.decoding.choosing import Choice as Choice
from vla.decoding.choosing import Chooser, Generators
from vla.decoding.execution import Execution as Execution
from vla.decoding.execution import settle
from vla.decoding.grammar_table import GrammarTable
from vla.decoding.jacobi import JacobiLoop
from vla.decoding.loops import Loop, SlotsLoop, StepwiseLoop
from vla.decoding.opening import Leading as Leading
from vla.decoding.opening import Request
from vla.decoding.scoring import score
from vla.decoding.tape import Decoded as Decoded
from vla.decoding.token_model import EmbeddedPrefix, TokenModel, VlaTokens
from vla.decoding.vlm_tokens import VlmTokens
from vla.interfaces import Grammar
from vla.model.vla_model import Head, VlaModel
from vla.model.vlm.vlm_model import VlmModel

TOKENS_AT_ONCE = 3
"""Between two looks at whether all rows have ended, where a look or a call costs as much as a token."""


class Method(enum.Enum):
    """In what order the tokens of the autoregressive head are found; all orders find the same ones."""

    AUTO = "auto"
    """Stepwise."""
    STEPWISE = "stepwise"
    """One after the other."""
    JACOBI = "jacobi"
    """All at once from a guess, again and again until nothing changes: fewer passes, of more work each. It pays where
    a pass costs the same whatever the number of tokens, as where reading the weights takes most of the time."""


class TokenDecoder:
    """Decoding under a grammar, by either head."""

    def __init__(
        self,
        model: VlaModel | VlmModel | TokenModel,
        grammar: Grammar,
        choice: Choice = Choice.MODE,
        *,
        method: Method = Method.AUTO,
        execution: Execution = Execution.AUTO,
        temperature: float = 1.0,
        max_tokens: int | None = None,
        stop_entropy: float | None = None,
    ) -> None:
        """Put the grammar's table on the model's device.

        Args:
            temperature: divides the logits; below 1 the distribution is sharper.
            max_tokens: a budget; no row grows longer, and every row still ends where the grammar accepts.
            stop_entropy: nats; a row that may end does so where the next id is less certain than this. For ordered
                tokens, of which every beginning decodes: what the model does not know is left out.

        Raises:
            ValueError: if the grammar is not of the model's action tokens, or does not fit into the budget.
            ConfigError: if a graph is asked for without a GPU.
        """
        self._model = _as_tokens(model)
        if grammar.next_state.shape[1] != self._model.num_actions:
            raise ValueError(
                f"the grammar speaks of {grammar.next_state.shape[1]} action tokens, "
                f"the model of {self._model.num_actions}"
            )
        self._method, self._execution = method, settle(execution, self._model.device)
        self._chooser = Chooser(choice, temperature, stop_entropy)
        self._table = GrammarTable.build(grammar, max_tokens, self._model.device)
        if self._table.max_tokens > self._model.num_action_tokens:
            raise ValueError(
                f"the grammar has sequences of {self._table.max_tokens} tokens, "
                f"the model predicts {self._model.num_action_tokens}"
            )
        self._loops: dict[tuple[torch.Size, torch.dtype], Loop] = {}

    def decode(
        self,
        prefix: EmbeddedPrefix,
        forced: Int64[Tensor, "batch forced"] | None = None,
        generator: Generators | None = None,
        guess: Int64[Tensor, "batch tokens"] | None = None,
        leading: Leading | None = None,
    ) -> Decoded:
        """The chosen allowed tokens after a prefix.

        Args:
            forced: ids that each row must begin with, for instance of actions already under way; -1 where a row forces
                nothing more.
            generator: of the draws of `Choice.SAMPLE`; on the CPU.
            guess: where Jacobi decoding begins, for instance the chunk before; it changes no token.
            leading: the beginning of the prefix, if it may be the same as before; it is then not computed again.
                The slots' one pass keeps nothing.

        Raises:
            ActionError: if the grammar does not allow the forced ids, or the model's logits are not finite.
            ConfigError: if the beginning cannot be kept, because it depends on what follows it.
        """
        batch, device = len(prefix.tokens), prefix.tokens.device
        known = self._table.check_forced(forced, batch)
        draws = self._chooser.draws(batch, self._table.max_tokens, generator).to(device)
        key = (prefix.tokens.shape, prefix.tokens.dtype)
        if key not in self._loops:
            with torch.no_grad():
                self._loops[key] = self._loop(prefix)
        return self._loops[key].run(Request(prefix, known, draws, guess, leading))

    def score(
        self,
        prefix: EmbeddedPrefix,
        ids: Int64[Tensor, "batch tokens"],
        forced: Int64[Tensor, "batch forced"] | None = None,
    ) -> Float[Tensor, "batch tokens"]:
        """How likely the decoder would have been to write given tokens: log-probabilities, 0 behind a row's end.

        Args:
            ids: padded with -1.
            forced: as in `decode`; the first of the ids.

        Raises:
            ActionError: if the grammar does not allow the ids.
        """
        told = self._table.check_forced(ids, len(ids))
        known = self._table.check_forced(forced, len(ids))
        return score(self._model, self._table, self._chooser, prefix, told, known)

    def _loop(self, prefix: EmbeddedPrefix) -> Loop:
        parts = (self._model, self._table, self._chooser, self._execution, prefix)
        if self._model.head is Head.SLOTS:
            return SlotsLoop(*parts)
        if self._method is Method.JACOBI:
            return JacobiLoop(*parts)
        return StepwiseLoop(*parts, tokens_at_once=1 if self._execution is Execution.EAGER else TOKENS_AT_ONCE)


def _as_tokens(model: VlaModel | VlmModel | TokenModel) -> TokenModel:
    match model:
        case VlaModel():
            return VlaTokens(model)
        case VlmModel():
            return VlmTokens(model)
        case _:
            return model
