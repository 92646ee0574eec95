"""Which backbone a training run has: the compact one, a pretrained one from its files, or that of a checkpoint.

Of a pretrained one, sizes and tokenizer are read first; weights only once the model for this robot has been made.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from vla.errors import ConfigError
from vla.model.compact import CompactConfig
from vla.model.kinds import AnyBackboneConfig, AnyModel
from vla.model.vlm.pretrained_files import describe, find_folder, load_weights
from vla.model.vlm.vlm_config import PretrainedConfig, VlmConfig
from vla.model.vlm.vlm_model import VlmModel
from vla.tokens.words import PretrainedWords, WordTokenizer
from vla_policies.checkpoint import Checkpoint
from vla_policies.cotraining import SILENT, with_voice


@dataclasses.dataclass(frozen=True)
class BackboneChoice:
    """A backbone, its own text tokenizer if it has one, and where its weights are if they are not in a checkpoint."""

    config: AnyBackboneConfig
    words: WordTokenizer | None = None
    folder: Path | None = None
    start: CompactConfig | None = None
    """The compact backbone of the checkpoint to begin with."""

    def with_actions(self, num_actions: int) -> AnyBackboneConfig:
        """The configuration with a place for so many action tokens.

        Raises:
            ConfigError: if the backbone's vocabulary has no room for them.
        """
        if isinstance(self.config, VlmConfig) and isinstance(self.words, PretrainedWords) and self.folder is not None:
            return self.config.with_actions(self.words, num_actions)
        return self.config

    def with_voice(self, is_asked: bool) -> BackboneChoice:
        """The choice with room for answers in words, if there are to be any.

        Raises:
            ConfigError: if there are, and the backbone's checkpoint knows no way to end one.
        """
        if isinstance(self.config, CompactConfig):
            return dataclasses.replace(self, config=with_voice(self.config, self.start, is_asked))
        if is_asked and not self.config.answer_tokens:
            raise ConfigError(SILENT)
        return self

    def load_weights(self, model: AnyModel) -> None:
        """Put the published weights into the model, if there are any.

        Raises:
            CheckpointError: listing what is missing, left over or of another shape.
        """
        if self.folder is not None and isinstance(model, VlmModel):
            load_weights(model.backbone, self.folder)
            model.initialise_actions()


def choose_backbone(compact: CompactConfig, pretrained: PretrainedConfig, start: Checkpoint | None) -> BackboneChoice:
    """The backbone of a run.

    Args:
        start: the checkpoint that it goes on from.

    Raises:
        ConfigError: if the checkpoint has a backbone of another family.
        CheckpointError: if the files of a pretrained one are absent or damaged.
    """
    if start is not None:
        _check_family(pretrained, start)
        if isinstance(start.backbone, VlmConfig):
            return BackboneChoice(start.backbone, start.text_tokenizer)
        return BackboneChoice(compact, start.text_tokenizer, start=start.backbone)
    if pretrained.family is None:
        return BackboneChoice(compact)
    config, words = describe(pretrained)
    return BackboneChoice(config, words, find_folder(pretrained.path))


def _check_family(pretrained: PretrainedConfig, start: Checkpoint) -> None:
    theirs = start.backbone.family if isinstance(start.backbone, VlmConfig) else None
    if pretrained.family != theirs:
        raise ConfigError(
            f"the checkpoint's backbone is {theirs or 'compact'}, not {pretrained.family or 'compact'}: "
            f"give backbone={theirs or 'compact'}, or begin without a checkpoint"
        )
