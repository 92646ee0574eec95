"""What LeRobot keeps of a policy in `config.json`: its features, and how its chunks are carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from lerobot.configs.policies import PreTrainedConfig

from vla_policies.chunking import ExecutionConfig, ExecutionMode

TRAINED_ELSEWHERE = "a policy of type 'vla' is trained by `vla train`, not by LeRobot"


@PreTrainedConfig.register_subclass("vla")
@dataclass
class VlaConfig(PreTrainedConfig):
    """A checkpoint of this project, as LeRobot runs it."""

    batch_size: int = 8
    """Observations in each pass through the model: 8 as in `vla eval`, for the very same actions; 1 is sooner for one
    environment."""
    execution_mode: str = ExecutionMode.RECEDING_HORIZON.value
    """How much of a chunk is carried out: see `execution.mode` of `vla eval`."""
    execute_steps: int | None = None
    """Control steps between two predictions; half of the horizon if not given."""
    ensemble_decay: float = 0.01
    """See `execution.ensemble_decay` of `vla eval`."""

    @property
    def execution(self) -> ExecutionConfig:
        """How chunks are carried out, as this project says it."""
        mode = ExecutionMode(self.execution_mode)
        return ExecutionConfig(mode, self.execute_steps, ensemble_decay=self.ensemble_decay)

    @property
    def observation_delta_indices(self) -> None:
        """None: a policy sees the present."""

    @property
    def action_delta_indices(self) -> None:
        """None: training is not LeRobot's."""

    @property
    def reward_delta_indices(self) -> None:
        """None: there are no rewards."""

    def get_optimizer_preset(self) -> NoReturn:
        raise NotImplementedError(TRAINED_ELSEWHERE)

    def get_scheduler_preset(self) -> NoReturn:
        raise NotImplementedError(TRAINED_ELSEWHERE)

    def validate_features(self) -> None:
        """Nothing: the features are compared with the checkpoint's when it is loaded."""
