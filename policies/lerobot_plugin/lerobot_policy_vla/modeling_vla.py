"""The policy: LeRobot's batches to our observations, our chunks to LeRobot's actions.

    folder/
      config.json                                   LeRobot's: type, features, execution
      policy_preprocessor.json, policy_postprocessor.json
      vla_mapping.yaml                              which of their features is which of ours
      checkpoint.json, weights-*.safetensors        the checkpoint

Row `i` of every batch is an episode of its own, and has its own chunk execution, the one `vla eval` has.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from torch import Tensor

from lerobot_policy_vla.configuration_vla import TRAINED_ELSEWHERE, VlaConfig
from vla.errors import CheckpointError, ObservationError
from vla.interfaces import ActionChunk, Observation
from vla_policies.checkpoint import Checkpoint, for_running, load_checkpoint, save_checkpoint
from vla_policies.chunking import ChunkExecution, make_execution
from vla_policies.interchange.feature_mapping import MAPPING_FILE, FeatureMapping, read_mapping, write_mapping
from vla_policies.interchange.pictures import from_planes, resized
from vla_policies.trained_policy import trained_policy


class VlaPolicy(PreTrainedPolicy):
    """A checkpoint behind LeRobot's interface."""

    config_class = VlaConfig
    name = "vla"

    def __init__(
        self,
        config: VlaConfig,
        checkpoint: Checkpoint | None = None,
        mapping: FeatureMapping | None = None,
        **_: Any,
    ) -> None:
        """Load the model.

        Args:
            config: features and execution.
            checkpoint: what acts; without it there is no policy, since none is made from scratch here.
            mapping: whose names and units LeRobot's features are.
            _: what LeRobot hands to every policy, statistics among it.

        Raises:
            CheckpointError: if there is no checkpoint.
            EmbodimentMismatch: if the mapping is not one of the checkpoint's embodiment.
            ConfigError: if the execution does not fit the horizon.
        """
        super().__init__(config)
        if checkpoint is None or mapping is None:
            raise CheckpointError(f"{TRAINED_ELSEWHERE}: give --policy.path=FOLDER, made by lerobot_policy_vla")
        mapping.require_fits(checkpoint.embodiment, whole_observation=True)
        self.config = config
        self._checkpoint = checkpoint
        self._mapping = mapping
        self._policy = trained_policy(checkpoint, device=config.device, batch_size=config.batch_size)
        self._executions: list[ChunkExecution] = []
        self._step = 0
        make_execution(config.execution, self._policy.horizon, self._policy.embodiment.control_dt_s)

    @classmethod
    def from_pretrained(
        cls, pretrained_name_or_path: str | Path, *, config: PreTrainedConfig | None = None, **_: Any
    ) -> VlaPolicy:
        """The policy in a folder on this machine; nothing is fetched.

        Raises:
            CheckpointError, ConfigError, EmbodimentMismatch: as `__init__`, or if a file is absent or altered.
        """
        folder = Path(pretrained_name_or_path)
        if not folder.is_dir():
            raise CheckpointError(f"there is no folder {folder}: a policy of type 'vla' is loaded from this machine")
        config = config or PreTrainedConfig.from_pretrained(folder)
        if not isinstance(config, VlaConfig):
            raise CheckpointError(f"{folder} holds a policy of type '{config.type}', not 'vla'")
        return cls(config, load_checkpoint(folder), read_mapping(folder / MAPPING_FILE)).eval()

    def _save_pretrained(self, save_directory: Path, **_: Any) -> None:
        self.config.save_pretrained(save_directory)
        write_mapping(save_directory / MAPPING_FILE, self._mapping)
        save_checkpoint(save_directory, for_running(self._checkpoint))

    def reset(self) -> None:
        """Begin an episode in every row."""
        self._executions, self._step = [], 0

    def predict_action_chunk(self, batch: dict[str, Any], **_: Any) -> Tensor:
        """The next `horizon` actions of each row, in LeRobot's units: (batch, horizon, action_dim)."""
        chunks = self._policy.predict(self._observations(batch))
        return torch.from_numpy(self._theirs(np.stack([chunk.actions for chunk in chunks])))

    def select_action(self, batch: dict[str, Any], **_: Any) -> Tensor:
        """The next action of each row: (batch, action_dim)."""
        rows, time_s = len(_words(batch)), self._step * self._policy.embodiment.control_dt_s
        if len(self._executions) != rows:
            self._begin(rows)
        needy = [row for row, execution in enumerate(self._executions) if execution.needs_chunk(time_s)]
        for row, chunk in zip(needy, self._chunks(batch, needy), strict=True):
            self._executions[row].add(chunk, time_s)
        self._step += 1
        actions = np.stack([execution.next_action(time_s) for execution in self._executions])
        return torch.from_numpy(self._theirs(actions))

    def get_optim_params(self) -> NoReturn:
        raise NotImplementedError(TRAINED_ELSEWHERE)

    def forward(self, batch: Mapping[str, Tensor]) -> NoReturn:
        raise NotImplementedError(TRAINED_ELSEWHERE)

    # ------------------------------------------------------------------ between the two

    def _begin(self, rows: int) -> None:
        self._policy.reset([0] * rows)  # LeRobot tells no seeds
        body = self._policy.embodiment
        self._executions = [
            make_execution(self.config.execution, self._policy.horizon, body.control_dt_s) for _ in range(rows)
        ]

    def _chunks(self, batch: dict[str, Any], rows: list[int]) -> list[ActionChunk]:
        if not rows:
            return []
        committed = [self._executions[row].committed(self._time_s) for row in rows]
        return self._policy.predict(self._observations(batch, rows), rows, committed)

    @property
    def _time_s(self) -> float:
        return self._step * self._policy.embodiment.control_dt_s

    def _observations(self, batch: dict[str, Any], rows: list[int] | None = None) -> list[Observation]:
        words = _words(batch)
        return [self._observation(batch, row, words[row]) for row in (range(len(words)) if rows is None else rows)]

    def _observation(self, batch: dict[str, Any], row: int, instruction: str) -> Observation:
        body, mapping = self._policy.embodiment, self._mapping
        images = {}
        for camera in body.cameras:
            picture = mapping.cameras[camera.name]
            planes = _row(batch, picture.feature, row, (3, picture.height, picture.width))
            images[camera.name] = resized(from_planes(planes), camera.height, camera.width)
        state = mapping.state
        readings = np.zeros(0, np.float32)
        if state is not None:
            readings = state.to_ours(_row(batch, state.feature, row, (len(state.fields),)), body.proprioception)
        return Observation(images, readings, instruction, self._time_s, frozenset([*images, "proprioception"]))

    def _theirs(self, actions: np.ndarray) -> np.ndarray:
        return self._mapping.action.to_theirs(actions, self._policy.embodiment.action)


def _words(batch: Mapping[str, Any]) -> list[str]:
    """The instruction of each row."""
    words = batch.get("task")
    if not isinstance(words, list) or not all(isinstance(text, str) for text in words):
        raise ObservationError(f"a batch says in 'task' what each row is to do, got {words!r:.80}")
    return words


def _row(batch: Mapping[str, Any], feature: str, row: int, shape: tuple[int, ...]) -> np.ndarray:
    """One row of a feature, float32."""
    if feature not in batch:
        present = ", ".join(sorted(name for name in batch if name.startswith("observation"))) or "none"
        raise ObservationError(f"the batch lacks '{feature}', which the mapping names; it has: {present}")
    value = batch[feature]
    if tuple(value.shape[1:]) != shape:
        raise ObservationError(f"'{feature}' is {shape} by the mapping, got {tuple(value.shape[1:])}")
    return value[row].detach().cpu().numpy().astype(np.float32, copy=False)
