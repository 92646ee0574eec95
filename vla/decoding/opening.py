"""How decoding begins: the prefix goes through the model once, what is known of it not even that.

    prefix ─► copied to where the actions look ─► cache filled from the first token that is new ─► token 0

While the key of a prefix's beginning stays the same, the keys and values computed for it are kept. That is exact where
nothing later changes them: for any beginning of a causal prefix (the instruction, if it stands before the pictures),
and for a whole prefix of any kind, for instance to decode it again with other draws or other forced tokens. In a prefix
whose tokens all see each other, a new picture changes everything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

from jaxtyping import Float, Int64
from torch import Tensor

from vla.decoding.choosing import Chooser
from vla.decoding.execution import Action, Execution, prepare
from vla.decoding.grammar_table import GrammarTable
from vla.decoding.tape import Tape
from vla.decoding.token_model import EmbeddedPrefix, TokenModel
from vla.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Leading:
    """The beginning of a prefix, which is the same wherever the key is."""

    key: Hashable
    """For instance the instructions, row by row."""
    num_tokens: int


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be decoded."""

    prefix: EmbeddedPrefix
    forced: Int64[Tensor, "batch tokens"]
    """-1 where nothing is forced."""
    draws: Float[Tensor, "batch tokens"]
    guess: Int64[Tensor, "batch tokens"] | None = None
    """Where Jacobi decoding begins."""
    leading: Leading | None = None


class Inputs:
    """A request, where the actions look for it."""

    def __init__(self, model: TokenModel, prefix: EmbeddedPrefix, places: int) -> None:
        self.tokens, self.is_padding = prefix.tokens.clone(), prefix.is_padding.clone()
        self.tape = Tape.allocate(len(self.tokens), places, model.num_actions, self.tokens.device)

    def take(self, request: Request) -> None:
        self.tokens.copy_(request.prefix.tokens)
        self.is_padding.copy_(request.prefix.is_padding)
        self.tape.forced[:, : request.forced.shape[1]] = request.forced
        self.tape.draws[:, : request.draws.shape[1]] = request.draws


class Opening:
    """Fills the cache, and writes token 0."""

    def __init__(
        self,
        model: TokenModel,
        table: GrammarTable,
        chooser: Chooser,
        execution: Execution,
        prefix: EmbeddedPrefix,
        places: int,
    ) -> None:
        self._model, self._table, self._chooser, self._execution = model, table, chooser, execution
        self.inputs = Inputs(model, prefix, places)
        self.cache = model.new_cache(prefix.tokens, places)
        self._held: Leading | None = None
        self._actions: dict[int, Action] = {}
        self._prepared(0)()

    def run(self, request: Request) -> None:
        """Begin anew with a request."""
        leading = request.leading
        if leading is not None:
            self._check(leading)
        is_held = leading is not None and leading == self._held
        self.inputs.take(request)
        self._prepared(leading.num_tokens if leading is not None and is_held else 0)()
        self._held = leading

    def _prepared(self, num_known: int) -> Action:
        if num_known not in self._actions:
            self._actions[num_known] = prepare(lambda: self._begin(num_known), self._execution, self._model.device)
        return self._actions[num_known]

    def _begin(self, num_known: int) -> None:
        inputs = self.inputs
        inputs.tape.rewind()
        logits = self._model.start(inputs.tokens, inputs.is_padding, self.cache, num_known)
        inputs.tape.write(self._table, self._chooser, logits)

    def _check(self, leading: Leading) -> None:
        num_prefix = self.cache.num_prefix
        if not 0 <= leading.num_tokens <= num_prefix:
            raise ConfigError(f"a prefix of {num_prefix} tokens cannot begin with {leading.num_tokens} known ones")
        if leading.num_tokens < num_prefix and not self._model.is_prefix_causal:
            raise ConfigError(
                f"the first {leading.num_tokens} of {num_prefix} prefix tokens cannot be kept: in this model they see "
                f"those after them; keep all of them, or none"
            )
