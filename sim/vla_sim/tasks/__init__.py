"""The tasks, by name, and the suites they make up. To add one, read and imitate `reach.py`."""

from __future__ import annotations

from vla_sim.tasks import pick_up, push_to_pad, put_on_pad, reach
from vla_sim.tasks.task import Grounding as Grounding
from vla_sim.tasks.task import Task as Task

TASKS: dict[str, Task] = {module.TASK.name: module.TASK for module in (reach, push_to_pad, pick_up, put_on_pad)}

SUITES: dict[str, tuple[str, ...]] = {"tabletop": ("reach", "push_to_pad", "pick_up", "put_on_pad")}
"""What `suite=` names."""
