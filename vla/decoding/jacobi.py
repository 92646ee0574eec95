"""Jacobi decoding: all tokens at once from a guess, again and again, until none changes.

    guess     3  3  3  3  3            a pass asks for every place's choice, given the guess at the places before
    choice    3  7  3  2  3            settled: up to and with the first place whose guess was wrong
    choice    3  7  5  2  8            ...

The fixed point is the sequence that stepwise decoding finds: place by place from the left, nothing else agrees with
itself. Each pass settles one place more at least. A guess that the grammar does not allow where it stands is replaced,
from left to right by table look-ups, by the id that leads nearest to an end.

Source: Santilli et al. 2023, arXiv:2305.10427, and for robots PD-VLA, arXiv:2503.02310. Ours differs in the grammar.
"""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

from vla.decoding.choosing import Chooser
from vla.decoding.execution import Execution, prepare
from vla.decoding.grammar_table import GrammarTable
from vla.decoding.opening import Opening, Request
from vla.decoding.tape import Decoded
from vla.decoding.token_model import EmbeddedPrefix, TokenModel
from vla.interfaces import PADDING_ID


class JacobiLoop:
    """All tokens again and again, until nothing changes."""

    def __init__(
        self, model: TokenModel, table: GrammarTable, chooser: Chooser, execution: Execution, prefix: EmbeddedPrefix
    ) -> None:
        self._model, self._table, self._chooser = model, table, chooser
        self._opening = Opening(model, table, chooser, execution, prefix, table.max_tokens)
        self._tape = self._opening.inputs.tape
        self._is_right = torch.zeros_like(self._tape.ids, dtype=torch.bool)
        self._is_static = execution is not Execution.EAGER
        self._refine = prepare(self._pass, execution, model.device)

    @torch.no_grad()
    def run(self, request: Request) -> Decoded:
        tape, num_tokens, num_passes, num_settled = self._tape, self._table.max_tokens, 1, 1
        self._opening.run(request)
        tape.ids[:, 1:] = tape.ids[:, :1] if request.guess is None else request.guess[:, 1:num_tokens]
        while num_settled < num_tokens:
            if self._is_static:
                self._refine()
            else:
                self._pass(num_settled)
            num_passes += 1
            num_right = int(self._is_right.all(0).int().cumprod(0).sum())
            num_settled = num_right + 1
        return tape.read(num_tokens, num_passes)

    def _pass(self, first: int = 1) -> None:
        """Choose the ids of places `first` and on, given those on the tape."""
        table, tape = self._table, self._tape
        state, guess = self._follow(tape.ids)
        index = torch.arange(first, table.max_tokens, device=guess.device)
        logits = self._model.extend(guess[:, first - 1 : -1].clamp(min=0), index, self._opening.cache)
        allowed = table.allowed(state[:, first:], table.max_tokens - index)
        masked = self._chooser.mask(logits, allowed)
        free = self._chooser.choose(masked, allowed, tape.draws[:, first:])
        forced = tape.forced[:, first:]
        may_end = table.accepting[state[:, first:]] & (forced < 0)
        has_ended = ~allowed.any(-1) | self._chooser.stops(masked, may_end)
        ids = torch.where(forced >= 0, forced, free).masked_fill(has_ended, PADDING_ID)
        self._is_right[:, :first] = True
        self._is_right[:, first:] = ids == guess[:, first:]
        tape.masked[:, first:] = masked
        tape.ids[:, first:] = ids

    def _follow(
        self, guess: Int64[Tensor, "batch tokens"]
    ) -> tuple[Int64[Tensor, "batch tokens"], Int64[Tensor, "batch tokens"]]:
        """The state before each place, and the guess with what is not allowed there replaced."""
        table, states, ids = self._table, [], []
        state = torch.zeros_like(guess[:, 0])
        for index, token in enumerate(guess.unbind(1)):
            is_end = (token == PADDING_ID) & table.accepting[state]
            is_allowed = (token >= 0) & (table.needed[state, token.clamp(min=0)] < table.max_tokens - index)
            token = torch.where(is_allowed, token, table.shortest[state])
            is_end = is_end | (table.needed[state, token] >= table.max_tokens - index)
            states.append(state)
            ids.append(token.masked_fill(is_end, PADDING_ID))
            state = table.next_state[state, token].masked_fill(is_end, table.end)
        return torch.stack(states, dim=1), torch.stack(ids, dim=1)
