"""Models as others publish them: a folder with sizes, weights and tokenizer, read strictly and written back.

    config.json                 sizes
    tokenizer.json              how text becomes ids
    *.safetensors               weights, in one file or with an index over several

Nothing is fetched: a path is a folder, or the name of a repository that the local cache holds. Weights are safetensors,
or they are not read. `transformers` knows under which names weights of older versions were published; whatever is then
missing, left over or of another shape is listed and refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vla.errors import CheckpointError, ConfigError
from vla.files import read_json, write_atomically
from vla.model.vlm.encoder_decoder import give_one_name
from vla.model.vlm.families import (
    OPENVLA,
    Family,
    family_named,
    make_transformers_model,
    sizes_only,
    transformers_class,
    transformers_config,
)
from vla.model.vlm.openvla_files import fill, read_tensors, refuse, write_published
from vla.model.vlm.vlm_backbone import VlmBackbone
from vla.model.vlm.vlm_config import PretrainedConfig, VlmConfig
from vla.tokens.words import PretrainedWords

CONFIG, TOKENIZER = "config.json", "tokenizer.json"


def find_folder(path: str) -> Path:
    """The folder of a model: `path` itself, or where the local cache holds the repository of that name.

    Raises:
        ConfigError: if it is neither.
    """
    if not path:
        raise ConfigError(
            "a pretrained backbone needs pretrained.path=FOLDER (config.json, tokenizer.json, safetensors)"
        )
    if Path(path).is_dir():
        return Path(path)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(path, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ConfigError(
            f"'{path}' is neither a folder nor a repository in the local cache; nothing is downloaded here"
        ) from error


def read_architecture(folder: Path) -> dict[str, Any]:
    """The sizes of a model.

    Raises:
        CheckpointError: if its file is absent or not JSON.
    """
    path = folder / CONFIG
    return sizes_only(read_json(path, CheckpointError, absent=_absent(path)))


def describe(choice: PretrainedConfig) -> tuple[VlmConfig, PretrainedWords]:
    """A backbone's configuration and tokenizer, from its folder; no weights are read.

    Raises:
        ConfigError, CheckpointError: if the folder is not of a model of the chosen family.
    """
    family = family_named(choice.family or "")
    folder = find_folder(choice.path)
    architecture = read_architecture(folder)
    transformers_config(family, architecture)
    words = family.prompt.words(_text(folder / TOKENIZER))
    return VlmConfig(
        family=family.name,
        architecture=architecture,
        prompt=family.prompt.ids(words),
        template=family.prompt.instruction,
        text_tokens=choice.text_tokens,
        answer_tokens=choice.answer_tokens,
        picture_side=choice.picture_side,
        state=choice.state,
        action_ids=choice.action_ids,
        do_actions_descend=family.do_actions_descend,
        is_lower_case=family.prompt.is_lower_case,
        connector=choice.connector,
        connector_tokens=choice.connector_tokens,
        history=choice.history,
    ), words


@torch.no_grad()
def load_weights(backbone: VlmBackbone, folder: Path) -> None:
    """Put the published weights into a backbone.

    Raises:
        CheckpointError: listing the weights that are missing, that have no place, or whose shapes differ.
    """
    whole = _whole(backbone.family, backbone.sizes, folder)
    if backbone.family.num_begin_tokens:
        give_one_name(backbone.family.language(whole.model))
    backbone.vlm.load_state_dict(whole.model.state_dict())
    if backbone.lm_head is not None:
        backbone.lm_head.load_state_dict(whole.lm_head.state_dict())


def _whole(family: Family, sizes: Any, folder: Path) -> Any:
    if family.name != OPENVLA:
        return _from_pretrained(family, sizes, folder)
    whole = make_transformers_model(family, sizes)
    fill(whole, read_tensors(folder), str(folder))
    return whole


def _from_pretrained(family: Family, sizes: Any, folder: Path) -> Any:
    if not list(folder.glob("*.safetensors")):
        raise CheckpointError(f"{folder} has no *.safetensors: weights in other formats can run code, and are not read")
    try:
        whole, found = transformers_class(family).from_pretrained(
            folder,
            config=sizes,
            dtype=torch.float32,
            attn_implementation=family.attention(sizes),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"the weights in {folder} cannot be read: {' '.join(str(error).split())}") from error
    _refuse(folder, found)
    return whole


def _refuse(folder: Path, found: Mapping[str, Any]) -> None:
    shaped = [
        f"{name} is {list(given)} and should be {list(wanted)}" for name, given, wanted in found["mismatched_keys"]
    ]
    missing, extra = sorted(found["missing_keys"]), sorted(found["unexpected_keys"])
    refuse(str(folder), missing=missing, extra=extra, shaped=shaped)


def save_native(backbone: VlmBackbone, words: PretrainedWords, folder: Path) -> None:
    """Write sizes, weights and tokenizer as the library reads them; what robots added is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / TOKENIZER, words.to_json())
    if backbone.family.name == OPENVLA:
        write_published(_openvla_whole(backbone), backbone.config.architecture, folder)
        return
    with torch.device("meta"):
        whole: Any = transformers_class(backbone.family)(backbone.sizes)
    whole.model = backbone.vlm
    head: nn.Module | None = backbone.lm_head
    if head is None:
        whole.lm_head.weight = whole.get_input_embeddings().weight
    else:
        whole.lm_head = head
    whole.save_pretrained(folder, state_dict=_untied(whole.state_dict(), is_tied=head is None))


def _openvla_whole(backbone: VlmBackbone) -> nn.Module:
    with torch.device("meta"):
        whole: Any = make_transformers_model(backbone.family, backbone.sizes)
    whole.model, whole.lm_head = backbone.vlm, backbone.lm_head
    return whole


def _untied(state: Mapping[str, Tensor], *, is_tied: bool) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not (is_tied and name.startswith("lm_head."))}


def _absent(path: Path) -> str:
    return f"there is no model at {path.parent}: {path.name} is missing"


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise CheckpointError(_absent(path)) from None
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not text: {error}") from error
