"""From a policy's name on a command line to the policy.

random | zero | pretrained | CHECKPOINT_DIR | replay:STORE | blind:POLICY | frozen:POLICY | removed:POLICY | ws://HOST:PORT
| lerobot:FOLDER

`blind`, `frozen` and `removed` alone are those of the shipped policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from vla.embodiment import Embodiment, require_same_embodiment
from vla.errors import CheckpointError, ConfigError, VlaError, unknown
from vla.interfaces import Policy
from vla_policies.ablations import FrozenPolicy, RemovedImagePolicy
from vla_policies.baselines import BlindPolicy, RandomPolicy, ReplayPolicy, ZeroPolicy
from vla_policies.seen_scenes import SeenScenes
from vla_policies.serving.extra import require_installed

if TYPE_CHECKING:
    from vla_policies.remote import RemotePolicy

PRETRAINED = "pretrained"
SHIPPED = (PRETRAINED, "emergence-cotrained", "emergence-robot-only")
"""Checkpoints that come with the package, each in a folder of its name."""
LEROBOT = "lerobot"
ABLATIONS = ("blind", "frozen", "removed", "shuffled")
"""Another policy, from which one thing is taken away; `shuffled` is made by who knows the suite's sentences."""
POLICY_NAMES = (
    "random",
    "zero",
    "blind",
    *SHIPPED,
    "blind:CHECKPOINT_DIR",
    "frozen",
    "frozen:CHECKPOINT_DIR",
    "removed:CHECKPOINT_DIR",
    "replay:STORE",
    "ws://HOST:PORT",
    "lerobot:FOLDER",
    "CHECKPOINT_DIR",
)


def load_policy(
    name: str, embodiment: Embodiment, *, batch_size: int | None = None, also_known: Sequence[str] = ()
) -> Policy:
    """The policy of this name, for this embodiment.

    Args:
        name: see the top of this file.
        embodiment: of the environment or arm it is to act on.
        batch_size: of every pass through a checkpoint's model; 1 answers a single robot soonest.
        also_known: names that the caller itself understands, for the message if there is no such policy.

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
        case "blind" | "frozen" | "removed":
            inner = argument if colon else PRETRAINED
            policy = load_policy(inner, embodiment, batch_size=batch_size, also_known=also_known)
            wrappers: dict[str, Callable[[Policy], Policy]] = {
                "blind": BlindPolicy,
                "frozen": FrozenPolicy,
                "removed": RemovedImagePolicy,
            }
            return wrappers[kind](policy)
        case "replay":
            return _load_replay(argument, embodiment)
        case "ws" | "wss":
            return load_remote(name, embodiment)
        case "lerobot":
            return _load_lerobot(argument, embodiment)
    return _load_checkpoint(checkpoint_folder(name, also_known), embodiment, batch_size)


def load_remote(url: str, embodiment: Embodiment, *, reply_s: float | None = None) -> RemotePolicy:
    """The policy that a server serves for this embodiment; needs no torch.

    Args:
        url: ws://HOST:PORT, or wss://HOST:PORT.
        embodiment: of the environment or arm it is to act on.
        reply_s: how long to wait for actions.

    Raises:
        ConfigError: if the extra `serve` is not installed, or the URL is none.
        ServerError, WireError: if there is no such server.
        EmbodimentMismatch: if it serves another embodiment.
    """
    require_installed()
    from vla_policies.remote import REPLY_S, connect_policy

    policy = connect_policy(url, reply_s=REPLY_S if reply_s is None else reply_s)
    try:
        require_same_embodiment(
            embodiment, policy.embodiment, expected_name="the environment", got_name=f"server {url}"
        )
    except VlaError:
        policy.close()
        raise
    return policy


def is_checkpoint(name: str) -> bool:
    """Whether a policy of this name is a trained one as it is: a shipped one or a folder."""
    return name.partition(":")[0] not in (*ABLATIONS, "random", "zero", "replay", "ws", "wss", LEROBOT)


def is_trained(name: str) -> bool:
    """Whether a policy of this name learned what it does: a checkpoint, or a policy of LeRobot's."""
    return is_checkpoint(name) or name.startswith(f"{LEROBOT}:")


def checkpoint_hash(name: str) -> str | None:
    """SHA-256 of the checkpoint that a policy's name stands for; `None` if it has none."""
    kind, _, argument = name.partition(":")
    if kind in ABLATIONS:
        return checkpoint_hash(argument or PRETRAINED)
    if kind == LEROBOT:
        from vla_policies.interchange.lerobot_folder import folder_hash

        return folder_hash(Path(argument))
    if not is_checkpoint(name):
        return None
    from vla_policies import checkpoint

    return checkpoint.checkpoint_hash(checkpoint_folder(name))


def seen_scenes(name: str) -> SeenScenes:
    """The scenes that the checkpoint behind a policy's name was trained on; none where that is not known."""
    kind, _, argument = name.partition(":")
    if kind in ABLATIONS:
        return seen_scenes(argument or PRETRAINED)
    if not is_checkpoint(name):
        return SeenScenes()
    from vla_policies import checkpoint

    return checkpoint.seen_scenes(checkpoint_folder(name))


def checkpoint_folder(name: str, also_known: Sequence[str] = ()) -> Path:
    """Where the checkpoint of this name lies: one of `SHIPPED`, or a folder.

    Raises:
        ConfigError: if it is neither, nor looks like a path.
        CheckpointError: if it looks like a path, and there is no such folder.
    """
    if name in SHIPPED:
        return Path(str(resources.files("vla_policies") / name))
    path = Path(name)
    if path.is_dir():
        return path
    if len(path.parts) > 1 or path.is_absolute():
        raise CheckpointError(f"there is no checkpoint folder {path}")
    raise unknown("policy", name, [*POLICY_NAMES, *also_known])


def _load_checkpoint(folder: Path, embodiment: Embodiment, batch_size: int | None) -> Policy:
    # Loads torch: only when a checkpoint is asked for.
    from vla_policies.checkpoint import load_checkpoint
    from vla_policies.trained_policy import DEFAULT_BATCH_SIZE, trained_policy

    size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
    policy = trained_policy(load_checkpoint(folder), batch_size=size)
    require_same_embodiment(
        embodiment, policy.embodiment, expected_name="the environment", got_name=f"checkpoint {folder}"
    )
    return policy


def _load_lerobot(folder: str, embodiment: Embodiment) -> Policy:
    if not folder:
        raise ConfigError("expected lerobot:FOLDER, got 'lerobot' without a folder")
    # Loads torch and LeRobot.
    from vla_policies.interchange.lerobot_policy import LeRobotPolicy

    return LeRobotPolicy.from_folder(Path(folder), embodiment)


def _load_replay(store: str, embodiment: Embodiment) -> Policy:
    if not store:
        raise ConfigError("expected replay:STORE, got 'replay' without a store")
    return ReplayPolicy.of_store(Path(store), embodiment)
