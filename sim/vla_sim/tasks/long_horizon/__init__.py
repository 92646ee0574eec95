"""Tasks of three to five steps, told in one sentence and scored step by step."""

from __future__ import annotations

from vla_sim.tasks.long_horizon.tasks import LONG_HORIZON_TASKS as LONG_HORIZON_TASKS
