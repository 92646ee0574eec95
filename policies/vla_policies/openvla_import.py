"""A published OpenVLA checkpoint made ready to run here: `vla eval policy=OUT`, `vla serve`, `vla train init=OUT`.

    python -m vla_policies.openvla_import FOLDER OUT STORE [DATASET]

FOLDER has `config.json` with `norm_stats` (or `dataset_statistics.json` beside it), `tokenizer.json` and the weights as
`*.safetensors`. STORE is an episode store of the robot that it is to move: its embodiment says what actions and cameras
there are. DATASET is the key of the statistics to un-normalise with. Of OpenVLA-OFT the backbone is read; its own heads
are published as pickles, and are not.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from vla.embodiment import Embodiment
from vla.errors import CheckpointError, VlaError
from vla.files import read_json
from vla.model.vla_model import Head
from vla.model.vlm.pretrained_files import describe, load_weights
from vla.model.vlm.vlm_config import ActionIds, PretrainedConfig, StateInput
from vla.model.vlm.vlm_model import VlmModel
from vla.normalization import Statistics
from vla.tokens.openvla_statistics import bins_of_openvla, proprioception_of_openvla
from vla_datasets.store import EpisodeStore
from vla_policies.checkpoint import Checkpoint, make_model, save_checkpoint


def import_openvla(
    folder: Path, embodiment: Embodiment, dataset: str | None = None, horizon: int = 1, text_tokens: int = 64
) -> Checkpoint:
    """The checkpoint of a published policy, to be run by the autoregressive head.

    Args:
        dataset: whose statistics un-normalise; None where only one has any.
        horizon: actions a chunk.

    Raises:
        CheckpointError: listing weights that are missing, left over or of another shape.
        StatisticsError: if the statistics are of another embodiment.
    """
    norm_stats = _norm_stats(folder)
    tokenizer = bins_of_openvla(norm_stats, dataset, embodiment, horizon)
    choice = PretrainedConfig(
        family="openvla",
        path=str(folder),
        text_tokens=text_tokens,
        state=StateInput.NONE,
        action_ids=ActionIds.LEAST_USED,
    )
    config, words = describe(choice)
    config = config.with_actions(words, tokenizer.vocabulary_size)
    config = dataclasses.replace(
        config, architecture={k: v for k, v in config.architecture.items() if k != "norm_stats"}
    )
    model = make_model(embodiment, tokenizer, words, config, Head.AUTOREGRESSIVE)
    assert isinstance(model, VlmModel)
    load_weights(model.backbone, folder)
    return Checkpoint(
        embodiment=embodiment,
        statistics=_proprioception(norm_stats, dataset, embodiment),
        action_tokenizer=tokenizer,
        text_tokenizer=words,
        backbone=config,
        head=Head.AUTOREGRESSIVE,
        config={"imported": "openvla", "dataset": dataset, "horizon": horizon},
        step=0,
        weights=model.state_dict(),
    )


def _norm_stats(folder: Path) -> dict[str, Any]:
    for name in ("dataset_statistics.json", "config.json"):
        path = folder / name
        tree = read_json(path, CheckpointError, absent=f"{path} is missing") if path.exists() else {}
        found = tree if name.startswith("dataset") else tree.get("norm_stats")
        if found:
            return found
    raise CheckpointError(f"{folder} has no statistics: neither norm_stats in config.json nor dataset_statistics.json")


def _proprioception(norm_stats: dict[str, Any], dataset: str | None, embodiment: Embodiment) -> Statistics:
    """What OpenVLA does not read, so that any will do: those published, or the ends of the robot's limits."""
    own = norm_stats[dataset] if dataset is not None else next(iter(norm_stats.values()))
    if "proprio" in own and len(own["proprio"].get("mean", [])) == embodiment.state_dim:
        return proprioception_of_openvla(norm_stats, dataset, embodiment)
    ends = np.array([[field.low, field.high] for field in embodiment.proprioception], np.float64).T
    return Statistics.of(ends, [field.name for field in embodiment.proprioception]).without_values()


def main(arguments: list[str]) -> int:
    """The exit status of the command at the top of this file."""
    if len(arguments) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    folder, out, store = (Path(argument) for argument in arguments[:3])
    try:
        embodiment = EpisodeStore.open(store).embodiment
        save_checkpoint(out, import_openvla(folder, embodiment, arguments[3] if arguments[3:] else None))
    except VlaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
