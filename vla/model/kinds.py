"""Backbones by the name of their kind: `compact`, ours, and `pretrained`, others' (`vla.model.vlm`).

Which classes a kind is made of stands here; a checkpoint names a kind, never a class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vla.errors import CheckpointError
from vla.model.compact import CompactConfig
from vla.model.vla_model import VlaModel
from vla.model.vlm.vlm_config import KIND as PRETRAINED
from vla.model.vlm.vlm_config import VlmConfig
from vla.model.vlm.vlm_model import VlmModel

COMPACT = "compact"

AnyBackboneConfig = CompactConfig | VlmConfig
AnyModel = VlaModel | VlmModel


def backbone_to_json(config: AnyBackboneConfig) -> dict[str, Any]:
    """A backbone's configuration under the name of its kind."""
    return {"kind": COMPACT if isinstance(config, CompactConfig) else PRETRAINED, **config.to_json()}


def backbone_from_json(tree: Mapping[str, Any]) -> AnyBackboneConfig:
    """The configuration that `backbone_to_json` wrote; one without a kind is of the compact backbone.

    Raises:
        CheckpointError: if there is no such kind.
    """
    rest = {key: value for key, value in tree.items() if key != "kind"}
    match tree.get("kind", COMPACT):
        case "compact":
            return CompactConfig.from_json(rest)
        case "pretrained":
            return VlmConfig.from_json(rest)
        case other:
            raise CheckpointError(f"unknown kind of backbone '{other}' (kinds: {COMPACT}, {PRETRAINED})")
