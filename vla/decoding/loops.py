"""Orders in which tokens are found, each a few actions on tensors that stay in place.

slots      all tokens in one pass
stepwise   the prefix and token 0, then a few tokens at a time
jacobi     the prefix and token 0, then all tokens again and again: see `vla.decoding.jacobi`
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch

from vla.decoding.choosing import Chooser
from vla.decoding.execution import Execution, prepare
from vla.decoding.grammar_table import GrammarTable
from vla.decoding.opening import Inputs, Opening, Request
from vla.decoding.tape import Decoded
from vla.decoding.token_model import EmbeddedPrefix, TokenModel


@runtime_checkable
class Loop(Protocol):
    """One order of decoding, for one shape of prefix."""

    def run(self, request: Request) -> Decoded:
        """The tokens after a prefix."""
        ...


class SlotsLoop:
    """All tokens in one pass."""

    def __init__(
        self, model: TokenModel, table: GrammarTable, chooser: Chooser, execution: Execution, prefix: EmbeddedPrefix
    ) -> None:
        self._model, self._table, self._chooser = model, table, chooser
        self._inputs = Inputs(model, prefix, table.max_tokens)
        self._action = prepare(self._fill, execution, model.device)

    @torch.no_grad()
    def run(self, request: Request) -> Decoded:
        self._inputs.take(request)
        self._action()
        return self._inputs.tape.read(self._table.max_tokens, num_passes=1)

    def _fill(self) -> None:
        inputs = self._inputs
        inputs.tape.rewind()
        logits = self._model.slots(inputs.tokens, inputs.is_padding, inputs.tape.forced)
        inputs.tape.write_all(self._table, self._chooser, logits)


class StepwiseLoop:
    """One token after the other."""

    def __init__(
        self,
        model: TokenModel,
        table: GrammarTable,
        chooser: Chooser,
        execution: Execution,
        prefix: EmbeddedPrefix,
        tokens_at_once: int,
    ) -> None:
        self._model, self._table, self._chooser = model, table, chooser
        self._tokens_at_once = tokens_at_once
        self._num_calls = math.ceil((table.max_tokens - 1) / tokens_at_once)
        places = 1 + self._num_calls * tokens_at_once
        self._opening = Opening(model, table, chooser, execution, prefix, places)
        self._tape = self._opening.inputs.tape
        self._advance = prepare(self._continue, execution, model.device, before=lambda: self._tape.index.fill_(1))

    @torch.no_grad()
    def run(self, request: Request) -> Decoded:
        self._opening.run(request)
        num_passes = 1
        while num_passes < 1 + self._num_calls * self._tokens_at_once and not self._is_over(num_passes):
            self._advance()
            num_passes += self._tokens_at_once
        return self._tape.read(self._table.max_tokens, num_passes)

    def _is_over(self, num_tokens: int) -> bool:
        can_be = self._table.line is None or self._chooser.stop_entropy is not None
        return can_be and num_tokens >= self._table.min_tokens and self._tape.has_ended(self._table)

    def _continue(self) -> None:
        tape = self._tape
        for _ in range(self._tokens_at_once):
            logits = self._model.extend(tape.token[:, None], tape.index, self._opening.cache)
            tape.write(self._table, self._chooser, logits[:, 0])
