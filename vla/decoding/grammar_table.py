"""A grammar as tables on the device: what is allowed is a look-up.

A budget of fewer tokens than the grammar has is kept by construction: an id is allowed if, after it, the nearest state
that accepts can be reached with the tokens that are left. One state is added behind the grammar's own: it is entered
when a sequence ends, and nothing follows it.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from vla.errors import ActionError
from vla.interfaces import PADDING_ID, Grammar

NEVER = 2**30
"""More tokens than any sequence has."""


@dataclasses.dataclass(frozen=True)
class GrammarTable:
    """The automaton, and how far each of its states is from an end."""

    next_state: Int64[Tensor, "states vocabulary"]
    """The end where the id is not allowed."""
    needed: Int64[Tensor, "states vocabulary"]
    """Tokens that must follow an id at least, before the sequence may end; `NEVER` where it is not allowed."""
    shortest: Int64[Tensor, " states"]
    """The id that leads nearest to an end."""
    accepting: Bool[Tensor, " states"]
    """Where a sequence may end."""
    line: Int64[Tensor, " max_tokens"] | None
    """The state at each place, if no choice changes it."""
    min_tokens: int
    """Of any sequence."""
    max_tokens: int
    """Of any sequence: the grammar's own, or the budget if that is less."""

    @staticmethod
    def build(grammar: Grammar, max_tokens: int | None, device: torch.device) -> GrammarTable:
        """The tables of a grammar.

        Raises:
            ValueError: if no sequence fits into `max_tokens`.
        """
        distance = np.append(distance_to_end(grammar), 0)
        budget = grammar.max_tokens if max_tokens is None else min(max_tokens, grammar.max_tokens)
        if distance[0] > budget:
            raise ValueError(f"no sequence of the grammar ends within {budget} tokens: it takes at least {distance[0]}")
        states, vocabulary = grammar.next_state.shape
        next_state = np.full((states + 1, vocabulary), states, np.int64)
        next_state[:-1] = np.where(grammar.next_state >= 0, grammar.next_state, states)
        allowed = next_state < states
        needed = np.where(allowed, distance[next_state], NEVER)
        line = _line(next_state, needed, budget)
        return GrammarTable(
            next_state=torch.from_numpy(next_state).to(device),
            needed=torch.from_numpy(needed).to(device),
            shortest=torch.from_numpy(needed.argmin(1)).to(device),
            accepting=torch.from_numpy(np.append(grammar.accepting, True)).to(device),
            line=None if line is None else torch.from_numpy(line).to(device),
            min_tokens=int(distance[0]),
            max_tokens=budget,
        )

    @property
    def end(self) -> int:
        """The state of a sequence that has ended."""
        return len(self.next_state) - 1

    def allowed(
        self, state: Int64[Tensor, "*places"], remaining: Int64[Tensor, "#places"]
    ) -> Bool[Tensor, "*places vocabulary"]:
        """Which ids may come next.

        Args:
            remaining: how many tokens fit, this one included.
        """
        return self.needed[state] < remaining[:, None]

    def check_forced(self, forced: Int64[Tensor, "batch forced"] | None, batch: int) -> Int64[Tensor, "batch tokens"]:
        """The forced ids on the device, `max_tokens` wide, -1 where nothing is forced.

        Raises:
            ActionError: naming the first forced id that is not allowed.
        """
        device = self.next_state.device
        known = torch.full((batch, self.max_tokens), PADDING_ID, dtype=torch.int64, device=device)
        if forced is None:
            return known
        if len(forced) != batch:
            raise ActionError(f"expected forced ids for {batch} rows, got {len(forced)}")
        self._follow(forced.to(device))
        width = min(forced.shape[1], self.max_tokens)
        known[:, :width] = forced[:, :width]
        return known

    def _follow(self, forced: Int64[Tensor, "batch forced"]) -> None:
        """Return if each row's ids, up to its first -1, are the beginning of a sequence, and all others are -1."""
        state = torch.zeros_like(forced[:, 0]) if forced.shape[1] else forced.sum(1)
        is_over, wrong = torch.zeros_like(state, dtype=torch.bool), torch.zeros_like(forced, dtype=torch.bool)
        for index, column in enumerate(forced.unbind(1)):
            is_over = is_over | (column == PADDING_ID)
            token = column.clamp(0, self.next_state.shape[1] - 1)
            is_known = (token == column) & (self.needed[state, token] < self.max_tokens - index)
            wrong[:, index] = torch.where(is_over, column != PADDING_ID, ~is_known)
            state = torch.where(is_over, state, self.next_state[state, token])
        if wrong.any():
            row, index = (int(number) for number in wrong.nonzero()[0])
            wrong_id = int(forced[row, index])
            raise ActionError(f"the grammar does not allow the forced id {wrong_id} at place {index} of row {row}")


def distance_to_end(grammar: Grammar) -> Int64[np.ndarray, " states"]:
    """Tokens from each state to the nearest that accepts."""
    distance = np.where(grammar.accepting, 0, NEVER)
    target = np.where(grammar.next_state >= 0, grammar.next_state, 0)
    for _ in range(grammar.max_tokens):
        step = np.where(grammar.next_state >= 0, distance[target], NEVER).min(1) + 1
        if (step >= distance).all():
            break
        distance = np.minimum(distance, step)
    return distance


def _line(
    next_state: Int64[np.ndarray, "states vocabulary"],
    needed: Int64[np.ndarray, "states vocabulary"],
    max_tokens: int,
) -> Int64[np.ndarray, " max_tokens"] | None:
    """The states that all sequences of `max_tokens` pass, if these are the same ones."""
    states = [0]
    for index in range(max_tokens):
        after = np.unique(next_state[states[-1]][needed[states[-1]] < max_tokens - index])
        if len(after) != 1:
            return None
        states.append(int(after[0]))
    return np.array(states[:-1])
