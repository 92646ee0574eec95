"""An episode of a store in place of a human: what was done then is done again, or a policy is asked beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32

from vla.embodiment import Embodiment, require_same_embodiment
from vla.errors import ConfigError
from vla.interfaces import Observation


class ReplayedTeleoperator:
    """The actions of one episode, a control step each; nobody holds it but the episode itself."""

    name = "replay"
    is_held = True

    def __init__(self, actions: Float32[np.ndarray, "steps action_dim"]) -> None:
        self._actions = actions
        self._step = 0

    @property
    def is_over(self) -> bool:
        return self._step >= len(self._actions)

    def connect(self) -> None:
        """It is read already."""

    def read(self, observation: Observation) -> Float32[np.ndarray, " action_dim"] | None:
        if self.is_over:
            return None
        self._step += 1
        return self._actions[self._step - 1]

    def close(self) -> None:
        """Nothing is held."""


def replayed(device: str, embodiment: Embodiment) -> ReplayedTeleoperator:
    """The episode `STORE#KEY` of a store; the first one if no key is given.

    Raises:
        ConfigError: if it has no such episode, or the store's package is not installed.
        StoreError: if there is no such store.
        EmbodimentMismatch: if it is of another robot.
    """
    try:
        from vla_datasets.store import EpisodeStore
    except ModuleNotFoundError as error:
        raise ConfigError(f"by=replay needs a package that is not installed: {error.name}") from error
    path, _, key = device.partition("#")
    if not path:
        raise ConfigError("by=replay needs teleop.device=STORE, or STORE#EPISODE")
    store = EpisodeStore.open(Path(path))
    require_same_embodiment(embodiment, store.embodiment, expected_name="the robot", got_name=f"store '{path}'")
    keys = list(store.keys())
    if not keys or (key and key not in keys):
        raise ConfigError(f"store '{path}' has no episode '{key or 'at all'}'; `vla data info data={path}` lists them")
    return ReplayedTeleoperator(store.read(key or keys[0]).actions)
