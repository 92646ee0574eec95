"""What a policy that acts says when it is asked something: an answer in words behind the prefix that it acts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Int64
from torch import Tensor

from vla.decoding.answers import answer_greedily
from vla.errors import CheckpointError
from vla.interfaces import PADDING_ID, ActionChunk, Observation, Policy
from vla.model.kinds import AnyModel
from vla.tokens.words import WordTokenizer
from vla_policies.frame_questions import with_question

_MUTE = "this policy does not answer in words (answer_tokens=0): train it with ask= or web="


@runtime_checkable
class TellingPolicy(Policy, Protocol):
    """A policy that can be asked something while it acts."""

    @property
    def answers_in_words(self) -> bool:
        """Whether it was trained to."""
        ...

    def predict_and_tell(
        self, observations: Sequence[Observation], question: str
    ) -> tuple[list[ActionChunk], list[str]]:
        """Chunks, and answers to a question about what is seen: both from one prefix, of at most one batch.

        Raises:
            CheckpointError: if the policy does not answer in words.
        """
        ...


def check_telling(policy: Policy) -> TellingPolicy:
    """The policy, if it can be asked something.

    Raises:
        CheckpointError: if it does not answer in words.
    """
    if not (isinstance(policy, TellingPolicy) and policy.answers_in_words):
        raise CheckpointError(_MUTE)
    return policy


def ask_all(observations: Sequence[Observation], question: str) -> list[Observation]:
    """Observations whose instruction has a question behind it."""
    return [dataclasses.replace(seen, instruction=with_question(seen.instruction, question)) for seen in observations]


def tell(model: AnyModel, tokenizer: WordTokenizer, prefix: Any) -> list[str]:
    """The answer behind each row of a prefix.

    Raises:
        CheckpointError: if the model does not answer in words.
    """
    if not model.num_answer_tokens:
        raise CheckpointError(_MUTE)
    return in_words(model, tokenizer, answer_greedily(model, prefix))


def in_words(model: AnyModel, tokenizer: WordTokenizer, ids: Int64[Tensor, "batch tokens"]) -> list[str]:
    """Answers, without what ends them."""
    left_out = (PADDING_ID, model.end_id)
    return [tokenizer.decode([token for token in row if token not in left_out]) for row in ids.tolist()]
