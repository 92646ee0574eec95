"""Checkpoints: all that is needed to run a policy, and to go on training it, in plain files.

    <run>/
      checkpoint.json                 embodiment, statistics, tokenizers, config; the files below with SHA-256
      weights-00001500.safetensors    averaged weights: what a policy runs with
      training-00001500.safetensors   optimizer, raw weights: only where training may go on
      words-0123456789ab.json         the text tokenizer of a pretrained backbone

The JSON is replaced last and by one rename, and names the files it goes with: a process killed at any moment leaves
the checkpoint before or the one after. Nothing is ever unpickled.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_from_tensors
from torch import Tensor

from vla.embodiment import Embodiment, Field
from vla.errors import CheckpointError, ConfigError, StatisticsError
from vla.files import read_json, sha256, write_atomically
from vla.interfaces import ActionTokenizer, Grammar
from vla.model.compact import CompactBackbone
from vla.model.continuous import ExpertConfig
from vla.model.kinds import AnyBackboneConfig, AnyModel, backbone_from_json, backbone_to_json
from vla.model.lora import AdapterConfig, adapt, merge
from vla.model.vla_model import Head, VlaModel, Vocabulary, make_continuous
from vla.model.vlm.vlm_backbone import VlmBackbone
from vla.model.vlm.vlm_config import VlmConfig
from vla.model.vlm.vlm_model import VlmModel
from vla.normalization import Normalizer, Scheme, Statistics
from vla.tokens.files import tokenizer_from_json
from vla.tokens.text import TextTokenizer
from vla.tokens.words import PLACE, PretrainedWords, WordTokenizer
from vla_policies.chunk_batches import action_normalizer
from vla_policies.seen_scenes import SeenScenes

FORMAT = "vla.checkpoint/1"
MANIFEST = "checkpoint.json"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A trained policy, and where its training stands."""

    embodiment: Embodiment
    statistics: Statistics
    """Of proprioception."""
    action_tokenizer: ActionTokenizer
    text_tokenizer: WordTokenizer
    backbone: AnyBackboneConfig
    head: Head
    config: Mapping[str, Any]
    """The resolved configuration of the training run."""
    step: int
    weights: Mapping[str, Tensor]
    """Averaged over training: what a policy runs with."""
    seen: SeenScenes = dataclasses.field(default_factory=SeenScenes)
    """What it was trained on; empty if that is not known."""
    training: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    """Optimizer state and raw weights; empty in a checkpoint that is only for running."""
    adapter: AdapterConfig = dataclasses.field(default_factory=AdapterConfig)
    """What of the weights are adapters; they are merged for running."""
    progress: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """JSON values of the training run: the sampler's place, ..."""
    expert: ExpertConfig = dataclasses.field(default_factory=ExpertConfig)
    """Of the heads that have one."""
    action_statistics: Statistics | None = None
    """Of the actions in chunks: what a head that says numbers counts in; None for one that says tokens."""

    @property
    def state_normalizer(self) -> Normalizer:
        """From proprioception to what the model reads.

        Raises:
            StatisticsError: if the statistics are not those of this embodiment's fields.
        """
        return state_normalizer(self.statistics, self.embodiment)

    @property
    def action_normalizer(self) -> Normalizer:
        """From actions to what a head that says numbers says.

        Raises:
            StatisticsError: if there are no statistics of actions, or they are of other fields.
        """
        return action_normalizer(require_statistics(self.action_statistics, self.head), self.embodiment)

    def build_model(self) -> AnyModel:
        """The model with these weights, adapters merged, on the CPU, in evaluation mode.

        Raises:
            CheckpointError: if the weights are not those of the model that the checkpoint describes.
        """
        model = make_model(
            self.embodiment, self.action_tokenizer, self.text_tokenizer, self.backbone, self.head, self.expert
        )
        adapt(model, self.adapter, published_weights(self.backbone))
        try:
            model.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(f"the weights are not of the model the checkpoint describes: {reason}") from error
        merge(model)
        return model.eval()


def make_model(
    embodiment: Embodiment,
    action_tokenizer: ActionTokenizer,
    text_tokenizer: WordTokenizer,
    backbone: AnyBackboneConfig,
    head: Head,
    expert: ExpertConfig | None = None,
) -> AnyModel:
    """An untrained model for this robot and these tokens.

    Raises:
        ConfigError: if the head predicts all tokens at once, and their number is not known beforehand.
    """
    if head is Head.SLOTS and not _has_one_length(action_tokenizer.grammar()):
        raise ConfigError(
            f"tokenizer '{action_tokenizer.name}' takes up to {action_tokenizer.max_tokens} tokens a chunk, as many as "
            f"it needs: head=slots predicts a fixed number, use head=autoregressive"
        )
    horizon, action_dim = action_tokenizer.horizon, embodiment.action_dim
    if isinstance(backbone, VlmConfig):
        pretrained = VlmBackbone(backbone, embodiment.cameras, embodiment.state_dim)
        vocabulary = Vocabulary(pretrained.text_vocabulary_size, action_tokenizer.vocabulary_size)
        return VlmModel(
            pretrained,
            head,
            vocabulary,
            action_tokenizer.max_tokens,
            make_continuous(head, pretrained.width, horizon, action_dim, expert or ExpertConfig()),
        )
    return VlaModel(
        CompactBackbone(backbone, embodiment.cameras, embodiment.state_dim, text_tokenizer.vocabulary_size),
        head,
        Vocabulary(text_tokenizer.vocabulary_size, action_tokenizer.vocabulary_size),
        action_tokenizer.max_tokens,
        backbone.answer_tokens,
        make_continuous(head, backbone.width, horizon, action_dim, expert or ExpertConfig()),
    )


def published_weights(backbone: AnyBackboneConfig) -> tuple[str, ...]:
    """Beginnings of the names of weights that know something before they see a robot: those that adapters spare.

    Of the compact backbone, all but what reads proprioception and what speaks of actions.
    """
    if isinstance(backbone, VlmConfig):
        return ("backbone.vlm.", "backbone.lm_head.")
    parts = ("text_embedding", "text_position", "text_blocks", "vision", "connectors", "memory", "decoder", "blank")
    return tuple(f"backbone.{part}" for part in parts)


def _has_one_length(grammar: Grammar) -> bool:
    """Whether nothing but the longest sequences is accepted, or any beginning of them is too."""
    state = 0
    for _ in range(grammar.max_tokens):
        after = np.unique(grammar.next_state[state])
        if len(after[after >= 0]) != 1:
            return False
        state = int(after[-1])
    return True


def require_statistics(statistics: Statistics | None, head: Head) -> Statistics:
    """The statistics of actions, which a head that says numbers cannot do without.

    Raises:
        StatisticsError: if they are absent.
    """
    if statistics is None:
        raise StatisticsError(f"head={head.value} says actions as numbers, and their statistics are absent")
    return statistics


def state_normalizer(statistics: Statistics, embodiment: Embodiment) -> Normalizer:
    """Zero mean and unit deviation over the training data."""
    return Normalizer.of(statistics, embodiment.proprioception, Scheme.DEVIATION)


def for_running(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint without what only training needs."""
    return dataclasses.replace(checkpoint, training={}, progress={})


def save_checkpoint(directory: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint into `directory`, in place of the one before."""
    directory.mkdir(parents=True, exist_ok=True)
    files = {f"weights-{checkpoint.step:08d}.safetensors": bytes_from_tensors(dict(checkpoint.weights))}
    if checkpoint.training:
        files[f"training-{checkpoint.step:08d}.safetensors"] = bytes_from_tensors(dict(checkpoint.training))
    words, word_files = _words_to_json(checkpoint.text_tokenizer)
    files |= word_files
    for name, content in files.items():
        write_atomically(directory / name, content)
    manifest = {
        "format": FORMAT,
        "step": checkpoint.step,
        "files": {name: {"bytes": len(content), "sha256": sha256(content)} for name, content in files.items()},
        "embodiment": checkpoint.embodiment.to_json(),
        "embodiment_fingerprint": checkpoint.embodiment.fingerprint,
        "statistics": checkpoint.statistics.to_json(),
        "action_tokenizer": checkpoint.action_tokenizer.to_json(),
        "text_tokenizer": words,
        "backbone": backbone_to_json(checkpoint.backbone),
        "head": checkpoint.head.value,
        "config": dict(checkpoint.config),
        "seen": checkpoint.seen.to_json(),
        "adapter": checkpoint.adapter.to_json(),
        "progress": dict(checkpoint.progress),
        **_numbers_to_json(checkpoint),
    }
    write_atomically(directory / MANIFEST, json.dumps(manifest, indent=1, allow_nan=False))
    for stale in directory.glob("*-????????.safetensors"):
        if stale.name not in files:
            stale.unlink()


def load_checkpoint(directory: Path, *, with_training: bool = False) -> Checkpoint:
    """Read a checkpoint, every file compared with its checksum.

    Args:
        with_training: also read what training needs to go on.

    Raises:
        CheckpointError: naming the file that is absent, altered or not of this format.
        StatisticsError: if the statistics are absent, of other fields, or say that nothing ever varied.
    """
    path = directory / MANIFEST
    manifest = _read_manifest(path)
    try:
        embodiment = Embodiment.from_json(manifest["embodiment"])
        if embodiment.fingerprint != manifest["embodiment_fingerprint"]:
            raise CheckpointError(f"{path}: the embodiment is not the one its fingerprint was made of")
        return Checkpoint(
            embodiment=embodiment,
            statistics=_read_statistics(manifest["statistics"], embodiment.proprioception, f"the state in {path}"),
            action_tokenizer=tokenizer_from_json(manifest["action_tokenizer"]),
            text_tokenizer=_words_from_json(directory, manifest["text_tokenizer"], manifest["files"]),
            backbone=backbone_from_json(manifest["backbone"]),
            head=Head(manifest["head"]),
            config=manifest["config"],
            step=int(manifest["step"]),
            seen=SeenScenes.from_json(manifest.get("seen", {})),
            adapter=AdapterConfig.from_json(manifest["adapter"]) if "adapter" in manifest else AdapterConfig(),
            weights=_read_tensors(directory, manifest["files"], "weights"),
            training=_read_tensors(directory, manifest["files"], "training") if with_training else {},
            progress=manifest["progress"],
            **_numbers_from_json(manifest, embodiment, path),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint: {type(error).__name__}: {error}") from error


def _numbers_to_json(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the manifest says of a head that says numbers; nothing of one that says tokens."""
    if not checkpoint.head.is_continuous:
        return {}
    statistics = require_statistics(checkpoint.action_statistics, checkpoint.head)
    return {"expert": checkpoint.expert.to_json(), "action_statistics": statistics.to_json()}


def _numbers_from_json(manifest: Mapping[str, Any], embodiment: Embodiment, path: Path) -> dict[str, Any]:
    if not Head(manifest["head"]).is_continuous:
        return {}
    return {
        "expert": ExpertConfig.from_json(manifest["expert"]),
        "action_statistics": _read_statistics(
            manifest["action_statistics"], embodiment.action, f"the actions in {path}"
        ),
    }


def _read_statistics(tree: Any, fields: Sequence[Field], what: str) -> Statistics:
    """Those of these fields."""
    statistics = Statistics.from_json(tree)
    statistics.require([field.name for field in fields], what)
    if not statistics.deviation.any():
        raise StatisticsError(f"statistics of {what}: all deviations are 0, as if nothing ever varied")
    return statistics


def checkpoint_hash(directory: Path) -> str:
    """SHA-256 of the manifest, which itself holds the weights' checksums."""
    return sha256((directory / MANIFEST).read_bytes())


def seen_scenes(directory: Path) -> SeenScenes:
    """What the checkpoint in a folder was trained on; the weights are not read.

    Raises:
        CheckpointError: if there is none, or it does not say it as it should.
    """
    path = directory / MANIFEST
    try:
        return SeenScenes.from_json(_read_manifest(path).get("seen", {}))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}, seen: {error}") from error


def _read_manifest(path: Path) -> dict[str, Any]:
    absent = f"there is no checkpoint at {path.parent}: {path.name} is missing"
    manifest = read_json(path, CheckpointError, absent=absent)
    if manifest.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not of format '{FORMAT}'")
    return manifest


def _words_to_json(words: WordTokenizer) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the manifest says of a text tokenizer, and the file beside it where there is one.

    Pretrained tokenizers take megabytes, and one run writes the same file each time.
    """
    if not isinstance(words, PretrainedWords):
        return json.loads(words.to_json()), {}
    content = words.to_json().encode()
    name = f"words-{sha256(content)[:12]}.json"
    told = {
        "kind": "pretrained",
        "template": words.template,
        "is_lower_case": words.is_lower_case,
        "question": words.question,
    }
    return told, {name: content}


def _words_from_json(directory: Path, tree: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> WordTokenizer:
    if tree.get("kind") == "pretrained":
        source = _read_file(directory, files, "words").decode()
        question = str(tree.get("question", PLACE))
        return PretrainedWords(source, str(tree["template"]), bool(tree["is_lower_case"]), question)
    return TextTokenizer.from_json(json.dumps(tree))


def _read_tensors(directory: Path, files: Mapping[str, Mapping[str, Any]], kind: str) -> dict[str, Tensor]:
    return tensors_from_bytes(_read_file(directory, files, kind))


def _read_file(directory: Path, files: Mapping[str, Mapping[str, Any]], kind: str) -> bytes:
    names = [name for name in files if name.startswith(f"{kind}-") and "/" not in name]
    if len(names) != 1:
        raise CheckpointError(f"the checkpoint at {directory} has no {kind} to load")
    path, promised = directory / names[0], files[names[0]]
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing: the checkpoint promises {promised['bytes']} bytes") from None
    if len(content) != promised["bytes"] or sha256(content) != promised["sha256"]:
        raise CheckpointError(f"{path} is altered: its size or SHA-256 is not what {MANIFEST} says")
    return content
