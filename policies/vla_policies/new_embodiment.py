"""A checkpoint made ready for another robot, to be trained on a few demonstrations of it.

    action           the same fields, in order; their ranges go along with the limits
    cameras, rate    the same
    proprioception   a field of the same name and unit is read as it was, by its place within its limits;
                     a field that is new is read as nothing, until training says otherwise

The first layer that reads proprioception is linear, so what it knows of a field is carried over exactly: other
statistics and limits are folded into its weights. All other weights are those of the checkpoint. What differs in
anything else is another kind of robot, and refused with the list.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vla.embodiment import Embodiment, Field
from vla.errors import EmbodimentMismatch
from vla.model.compact import CompactConfig, StateEncoding
from vla.model.vlm.vlm_config import StateInput, VlmConfig
from vla.normalization import Normalizer
from vla.tokens.bins import BinTokenizer
from vla_datasets.windows import Frames
from vla_policies.checkpoint import Checkpoint, state_normalizer

READER = "backbone.state_embedding.0"
"""The layer that reads proprioception."""


def for_new_embodiment(checkpoint: Checkpoint, frames: Frames) -> Checkpoint:
    """The checkpoint, as the robot of these frames is to begin with it; it has been trained for no step.

    Raises:
        EmbodimentMismatch: listing what of the robots, or of the checkpoint, does not go over.
    """
    new = frames.embodiment
    complaints = [*_differences(checkpoint.embodiment, new), *_unfit(checkpoint)]
    if complaints:
        raise EmbodimentMismatch(
            f"a checkpoint of {checkpoint.embodiment.name} cannot go over to {new.name}: {'; '.join(complaints)}"
        )
    found = {name: statistics.without_values() for name, statistics in frames.statistics().items()}
    normalizer = state_normalizer(found["proprioception"], new)
    return dataclasses.replace(
        checkpoint,
        embodiment=new,
        statistics=found["proprioception"],
        action_statistics=found["actions"] if checkpoint.head.is_continuous else None,
        action_tokenizer=_carried_tokens(checkpoint, new),
        weights=_carried_weights(checkpoint, new, normalizer),
        step=0,
        training={},
        progress={},
    )


def _differences(old: Embodiment, new: Embodiment) -> list[str]:
    """What the two robots must have in common, and have not."""

    def named(fields: tuple[Field, ...]) -> list[str]:
        return [f"{field.name} [{field.unit}]" for field in fields]

    pairs = {
        "actions": (named(old.action), named(new.action)),
        "action_kind": (old.action_kind.value, new.action_kind.value),
        "frame": (old.frame, new.frame),
        "rotation": (old.rotation.value, new.rotation.value),
        "gripper": (old.gripper, new.gripper),
        "control_hz": (old.control_hz, new.control_hz),
        "cameras": (list(old.cameras), list(new.cameras)),
    }
    told = [f"{name} {ours} against {theirs}" for name, (ours, theirs) in pairs.items() if ours != theirs]
    return told if _shared(old, new) else [*told, "no field of proprioception has the same name and unit"]


def _unfit(checkpoint: Checkpoint) -> list[str]:
    told = []
    if not isinstance(checkpoint.action_tokenizer, BinTokenizer):
        told.append(f"tokenizer '{checkpoint.action_tokenizer.name}' has no ranges that go with limits, as bins have")
    backbone = checkpoint.backbone
    if isinstance(backbone, CompactConfig) and backbone.state is not StateEncoding.PROJECTED:
        told.append("backbone.state=tokens reads each field by itself; only projected proprioception is carried over")
    return told


def _shared(old: Embodiment, new: Embodiment) -> list[tuple[int, int]]:
    """Fields of proprioception that mean the same: their places in the old robot and in the new one."""
    places = {(field.name, field.unit): place for place, field in enumerate(old.proprioception)}
    keys = [(field.name, field.unit) for field in new.proprioception]
    return [(places[key], place) for place, key in enumerate(keys) if key in places]


def _carried_tokens(checkpoint: Checkpoint, new: Embodiment) -> BinTokenizer:
    """Each bin at the same share of the new robot's limits."""
    tokenizer, old = checkpoint.action_tokenizer, checkpoint.embodiment
    assert isinstance(tokenizer, BinTokenizer), "checked before"
    ranges = tokenizer.ranges
    low, high = (
        np.array([_mapped(value, *pair) for value, *pair in zip(ends, old.action, new.action, strict=True)])
        for ends in (ranges.low, ranges.high)
    )
    return dataclasses.replace(tokenizer, ranges=dataclasses.replace(ranges, low=low, high=high))


def _mapped(value: float, old: Field, new: Field) -> float:
    """The value that lies where `value` lies, within the limits of another field."""
    share = (value - old.low) / (old.high - old.low)
    return new.low + share * (new.high - new.low)


def _carried_weights(checkpoint: Checkpoint, new: Embodiment, normalizer: Normalizer) -> Mapping[str, Tensor]:
    """All weights, those of the reader for the new fields."""
    weights, backbone = dict(checkpoint.weights), checkpoint.backbone
    if isinstance(backbone, VlmConfig) and backbone.state is StateInput.NONE:
        return weights
    old = checkpoint.embodiment
    reader, bias = weights[f"{READER}.weight"], weights[f"{READER}.bias"].clone()
    others = reader[:, old.state_dim :]  # where the named queries looked
    columns = reader.new_zeros((len(reader), new.state_dim))
    for place, own in _shared(old, new):
        was, body = checkpoint.state_normalizer, (new.proprioception[own], old.proprioception[place])
        middle = (_mapped(float(normalizer.centre[own]), *body) - was.centre[place]) / was.scale[place]
        beyond = _mapped(float(normalizer.centre[own] + normalizer.scale[own]), *body) - was.centre[place]
        columns[:, own] = reader[:, place] * float(beyond / was.scale[place] - middle)
        bias += reader[:, place] * float(middle)
    return weights | {f"{READER}.weight": torch.cat([columns, others], dim=1), f"{READER}.bias": bias}
