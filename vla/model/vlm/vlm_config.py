"""What is chosen of a pretrained backbone, and what a checkpoint remembers of it.

A checkpoint remembers sizes and prompt, never a path: it runs where the files it began with are not.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from vla.errors import ConfigError
from vla.model.connectors import ConnectorKind
from vla.model.vlm.prompt import PromptIds
from vla.tokens.words import PretrainedWords

KIND = "pretrained"


class StateInput(enum.Enum):
    """How proprioception enters the prefix."""

    PROJECTED = "projected"
    """As one token, a projection of all its numbers."""
    NONE = "none"
    """Not at all, as in the model's own training."""


class ActionIds(enum.Enum):
    """Which ids stand for action tokens."""

    APPENDED = "appended"
    """New ones behind the vocabulary, with embeddings and logits of their own."""
    LEAST_USED = "least_used"
    """The last ordinary ids of the text vocabulary, its rarest merges, as in RT-2 and OpenVLA."""


@dataclasses.dataclass
class PretrainedConfig:
    """Which pretrained backbone, and how robots use it."""

    family: str | None = None
    """paligemma, smolvlm, idefics3, qwen2_5_vl, qwen3_vl, internvl or openvla; null for the compact backbone."""
    path: str = ""
    """Folder with config.json, tokenizer.json and *.safetensors, or the name of a repository in the local cache."""
    text_tokens: int = 48
    """The longest instruction, in tokens of the model's own tokenizer."""
    answer_tokens: int = 32
    """The longest answer in words, its end included, in tokens."""
    picture_side: int = 0
    """Longest side of a picture in pixels, for families that see any size; 0 leaves pictures as they are."""
    state: StateInput = StateInput.PROJECTED
    """How proprioception enters the prefix."""
    action_ids: ActionIds = ActionIds.APPENDED
    """Which ids stand for action tokens."""
    connector: ConnectorKind = ConnectorKind.OWN
    """What stands behind the model's own connector; new weights."""
    connector_tokens: int = 16
    """Tokens a picture that a resampler or a Q-Former makes."""
    history: int = 1
    """Frames of each camera that are seen at once, the present one included, a control step apart. Each is a picture of
    its own in the prompt, but for `connector=causal_resampler`, which makes one picture's tokens of all of them."""


@dataclasses.dataclass(frozen=True)
class VlmConfig:
    """A pretrained backbone's sizes, and how robots use it."""

    family: str
    architecture: Mapping[str, Any]
    """The content of its `config.json`."""
    prompt: PromptIds
    template: str
    """What an instruction is written into."""
    text_tokens: int
    answer_tokens: int = 0
    picture_side: int = 0
    state: StateInput = StateInput.PROJECTED
    action_ids: ActionIds = ActionIds.APPENDED
    first_action_id: int | None = None
    """Of action ids that are text ids too: the least of them."""
    do_actions_descend: bool = False
    """Whether the first action token has the last of these ids."""
    is_lower_case: bool = False
    """Whether instructions are written in lower case."""
    connector: ConnectorKind = ConnectorKind.OWN
    connector_tokens: int = 16
    history: int = 1

    def given_up(self, num_actions: int) -> range:
        """The text ids that stand for action tokens, and are no words any more."""
        first = self.first_action_id
        return range(0) if first is None else range(first, first + num_actions)

    def to_json(self) -> dict[str, Any]:
        return {
            "family": self.family,
            "architecture": dict(self.architecture),
            "prompt": self.prompt.to_json(),
            "template": self.template,
            "text_tokens": self.text_tokens,
            "answer_tokens": self.answer_tokens,
            "picture_side": self.picture_side,
            "state": self.state.value,
            "action_ids": self.action_ids.value,
            "first_action_id": self.first_action_id,
            "do_actions_descend": self.do_actions_descend,
            "is_lower_case": self.is_lower_case,
            "connector": self.connector.value,
            "connector_tokens": self.connector_tokens,
            "history": self.history,
        }

    @staticmethod
    def from_json(tree: Mapping[str, Any]) -> VlmConfig:
        """The configuration that `to_json` wrote."""
        first = tree["first_action_id"]
        return VlmConfig(
            family=str(tree["family"]),
            architecture=dict(tree["architecture"]),
            prompt=PromptIds.from_json(tree["prompt"]),
            template=str(tree["template"]),
            text_tokens=int(tree["text_tokens"]),
            answer_tokens=int(tree.get("answer_tokens", 0)),
            picture_side=int(tree["picture_side"]),
            state=StateInput(tree["state"]),
            action_ids=ActionIds(tree["action_ids"]),
            first_action_id=None if first is None else int(first),
            do_actions_descend=bool(tree.get("do_actions_descend", False)),
            is_lower_case=bool(tree.get("is_lower_case", False)),
            connector=ConnectorKind(tree.get("connector", "own")),
            connector_tokens=int(tree.get("connector_tokens", 16)),
            history=int(tree.get("history", 1)),
        )

    def with_actions(self, words: PretrainedWords, num_actions: int) -> VlmConfig:
        """The configuration with a place for so many action tokens.

        Raises:
            ConfigError: if the text vocabulary has no room for them, with the numbers.
        """
        if self.action_ids is ActionIds.APPENDED:
            return self
        ids = words.last_ordinary_ids(num_actions)
        if ids is None:
            raise ConfigError(
                f"{num_actions} action tokens do not fit: the tokenizer has {words.vocabulary_size} ids, of which the "
                f"last {words.room} ordinary ones could be given up; use fewer (vocabulary=) or action_ids=appended"
            )
        return dataclasses.replace(self, first_action_id=ids.start)
