"""`python -m lerobot_policy_vla CHECKPOINT FOLDER [mapping=NAME_OR_FILE]`: a checkpoint as LeRobot's folder.

The mapping is `same` (features named as `vla data export format=lerobot` names them, the default), `metaworld`
(LeRobot's environment of that name), or a YAML file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lerobot.configs.types import FeatureType, PolicyFeature

from lerobot_policy_vla.configuration_vla import VlaConfig
from lerobot_policy_vla.modeling_vla import VlaPolicy
from lerobot_policy_vla.processor_vla import make_vla_pre_post_processors
from vla.errors import ConfigError, VlaError
from vla_policies.checkpoint import load_checkpoint
from vla_policies.interchange.feature_mapping import FeatureMapping, named_mapping
from vla_policies.loading import checkpoint_folder


def main(arguments: Sequence[str]) -> int:
    """Write the folder; the exit status."""
    options = [argument.removeprefix("mapping=") for argument in arguments if argument.startswith("mapping=")]
    places = [argument for argument in arguments if not argument.startswith("mapping=")]
    try:
        if len(places) != 2 or len(options) > 1:
            raise ConfigError("expected CHECKPOINT FOLDER [mapping=NAME_OR_FILE]")
        write_folder(places[0], Path(places[1]), options[0] if options else "same")
    except VlaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"lerobot-eval --policy.path={places[1]} --env.type=...")
    return 0


def write_folder(checkpoint: str, folder: Path, mapping_name: str) -> None:
    """Write what `lerobot-eval --policy.path=` takes.

    Args:
        checkpoint: `pretrained`, or a checkpoint's folder.
        folder: new, or empty.
        mapping_name: see the top of this file.

    Raises:
        ConfigError: if the folder holds something, or there is no such mapping.
        CheckpointError, EmbodimentMismatch: if the checkpoint is none, or the mapping is not one of its embodiment.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} exists and is not an empty folder")
    loaded = load_checkpoint(checkpoint_folder(checkpoint))
    mapping = named_mapping(mapping_name, loaded.embodiment)
    config = VlaConfig(input_features=inputs(mapping), output_features=outputs(mapping), device="cpu")
    config.push_to_hub = False
    VlaPolicy(config, loaded, mapping).save_pretrained(folder)
    for pipeline in make_vla_pre_post_processors(config):
        pipeline.save_pretrained(folder)


def inputs(mapping: FeatureMapping) -> dict[str, PolicyFeature]:
    """What LeRobot is told that the policy sees."""
    features = {
        picture.feature: PolicyFeature(FeatureType.VISUAL, (3, picture.height, picture.width))
        for picture in mapping.cameras.values()
    }
    if mapping.state is not None:
        features[mapping.state.feature] = PolicyFeature(FeatureType.STATE, (len(mapping.state.fields),))
    return features


def outputs(mapping: FeatureMapping) -> dict[str, PolicyFeature]:
    """What LeRobot is told that the policy commands."""
    return {mapping.action.feature: PolicyFeature(FeatureType.ACTION, (len(mapping.action.fields),))}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
