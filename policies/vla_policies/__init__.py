"""Policies, chunk execution, the rollout loop, and training."""

from vla_policies.chunking import ChunkExecution as ChunkExecution
from vla_policies.chunking import ExecutionConfig as ExecutionConfig
from vla_policies.chunking import ExecutionMode as ExecutionMode
from vla_policies.rollout import RolloutEvents as RolloutEvents
from vla_policies.rollout import RolloutResult as RolloutResult
from vla_policies.rollout import rollout as rollout
