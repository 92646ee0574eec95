"""Weights of OpenVLA as published: names, shards, and every complaint at once.

    vision_backbone.featurizer.*            the first tower; `scale_factor` where timm says `gamma`
    vision_backbone.fused_featurizer.*      the second
    projector.fc1, fc2, fc3
    language_model.model.*, language_model.lm_head.weight

OpenVLA-OFT publishes its backbone so, and its heads as pickles, which are not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vla.errors import CheckpointError

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
LISTED = 8
"""Of each kind of bad key."""

_PLACES = (
    ("model.towers.0.", "vision_backbone.featurizer."),
    ("model.towers.1.", "vision_backbone.fused_featurizer."),
    ("model.projector.", "projector."),
    ("model.language_model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
)


def published_name(ours: str) -> str:
    """Under which name a weight of `OpenVlaWhole` is published."""
    place, theirs = next(pair for pair in _PLACES if ours.startswith(pair[0]))
    name = theirs + ours.removeprefix(place)
    return re.sub(r"\.(ls[12])\.gamma$", r".\1.scale_factor", name) if "towers" in place else name


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model, in one file or in the shards that its index names.

    Raises:
        CheckpointError: naming the file that is absent, damaged, or outside the folder.
    """
    files = _files(folder)
    found: dict[str, Tensor] = {}
    for file, promised in files.items():
        path = folder / file
        if not path.is_file():
            raise CheckpointError(f"{path} is missing: {len(promised)} weights should be in it")
        try:
            found |= load_file(path)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error
    return found


def _files(folder: Path) -> dict[str, list[str]]:
    """The names that each file should hold; none where nothing says so."""
    if not (folder / INDEX).is_file():
        if (folder / SINGLE).is_file():
            return {SINGLE: []}
        raise CheckpointError(
            f"{folder} has no *.safetensors ({SINGLE} or {INDEX}): other formats can run code, and are not read"
        )
    try:
        places = json.loads((folder / INDEX).read_bytes())["weight_map"]
        files: dict[str, list[str]] = {}
        for name, file in places.items():
            if Path(file).name != file:
                raise CheckpointError(f"{folder / INDEX} names a file outside its folder: '{file}'")
            files.setdefault(file, []).append(name)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{folder / INDEX} is not an index of weights: {error}") from error
    return files


@torch.no_grad()
def fill(whole: nn.Module, published: Mapping[str, Tensor], where: str) -> None:
    """Put published weights into a model, every one of them in its place.

    Raises:
        CheckpointError: listing all that are missing, that have no place, or whose shapes differ.
    """
    state = whole.state_dict()
    names = {published_name(ours): ours for ours in state}
    rest = {name: tensor for name, tensor in published.items() if not name.endswith("rotary_emb.inv_freq")}
    shaped = {
        name: f"{name} is {list(rest[name].shape)} and should be {list(state[ours].shape)}"
        for name, ours in names.items()
        if name in rest and rest[name].shape != state[ours].shape
    }
    refuse(where, missing=sorted(names.keys() - rest), extra=sorted(rest.keys() - names), shaped=list(shaped.values()))
    for name, ours in names.items():
        state[ours].copy_(rest[name])


def refuse(where: str, *, missing: list[str], extra: list[str], shaped: list[str]) -> None:
    """Return if there is nothing to complain of.

    Raises:
        CheckpointError: with every complaint.
    """
    kinds = (("missing", missing), ("without a place", extra), ("of another shape", shaped))
    told = [_listed(kind, names) for kind, names in kinds if names]
    if told:
        raise CheckpointError(f"the weights in {where} are not those of its config.json: {'; '.join(told)}")


def _listed(kind: str, names: list[str]) -> str:
    more = f", and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{len(names)} {kind} ({', '.join(names[:LISTED])}{more})"


def write_published(whole: nn.Module, architecture: Mapping[str, Any], folder: Path, shards: int = 1) -> None:
    """Write a model under its published names, in so many shards."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {published_name(name): tensor.contiguous().clone() for name, tensor in whole.state_dict().items()}
    names = sorted(state)
    (folder / "config.json").write_text(json.dumps(dict(architecture), indent=1))
    if shards == 1:
        save_file(state, folder / SINGLE, metadata={"format": "pt"})
        return
    files = {f"model-{part + 1:05d}-of-{shards:05d}.safetensors": names[part::shards] for part in range(shards)}
    for file, own in files.items():
        save_file({name: state[name] for name in own}, folder / file, metadata={"format": "pt"})
    places = {name: file for file, own in files.items() for name in own}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
