"""From a policy's name on a command line to the policy.

random | zero | pretrained | CHECKPOINT_DIR | blind | blind:CHECKPOINT_DIR | replay:STORE
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from vla.embodiment import Embodiment, require_same_embodiment
from vla.errors import CheckpointError, ConfigError, unknown
from vla.interfaces import Policy
from vla_policies.baselines import BlindPolicy, RandomPolicy, ReplayPolicy, ZeroPolicy

PRETRAINED = "pretrained"
POLICY_NAMES = ("random", "zero", "blind", PRETRAINED, "blind:CHECKPOINT_DIR", "replay:STORE", "CHECKPOINT_DIR")


def load_policy(name: str, embodiment: Embodiment) -> Policy:
    """The policy of this name, for this embodiment.

    Args:
        name: see the top of this file.
        embodiment: of the environment or arm it is to act on.

    Raises:
        ConfigError: if there is no such policy.
        CheckpointError: if a checkpoint is absent, incomplete or altered.
        EmbodimentMismatch: if a checkpoint or store is for another embodiment.
    """
    kind, colon, argument = name.partition(":")
    match kind:
        case "random" if not colon:
            return RandomPolicy(embodiment)
        case "zero" if not colon:
            return ZeroPolicy(embodiment)
        case "blind":
            return BlindPolicy(load_policy(argument if colon else PRETRAINED, embodiment))
        case "replay":
            return _load_replay(argument, embodiment)
    return _load_checkpoint(checkpoint_folder(name), embodiment)


def checkpoint_folder(name: str) -> Path:
    """Where the checkpoint of this name lies: `pretrained`, or a folder.

    Raises:
        ConfigError: if it is neither, nor looks like a path.
        CheckpointError: if it looks like a path, and there is no such folder.
    """
    if name == PRETRAINED:
        return Path(str(resources.files("vla_policies") / PRETRAINED))
    path = Path(name)
    if path.is_dir():
        return path
    if len(path.parts) > 1 or path.is_absolute():
        raise CheckpointError(f"there is no checkpoint folder {path}")
    raise unknown("policy", name, POLICY_NAMES)


def _load_checkpoint(folder: Path, embodiment: Embodiment) -> Policy:
    # Loads torch: only when a checkpoint is asked for.
    from vla_policies.token_policy import TokenPolicy

    policy = TokenPolicy.from_checkpoint(folder)
    require_same_embodiment(
        embodiment, policy.embodiment, expected_name="the environment", got_name=f"checkpoint {folder}"
    )
    return policy


def _load_replay(store: str, embodiment: Embodiment) -> Policy:
    if not store:
        raise ConfigError("expected replay:STORE, got 'replay' without a store")
    return ReplayPolicy.of_store(Path(store), embodiment)
