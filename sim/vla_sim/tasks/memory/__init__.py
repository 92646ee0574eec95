"""Tasks that ask for what was seen and is covered now: one picture of the present does not tell."""

from __future__ import annotations

from vla_sim.tasks.memory.tasks import CHANCE as CHANCE
from vla_sim.tasks.memory.tasks import MEMORY_TASKS as MEMORY_TASKS
