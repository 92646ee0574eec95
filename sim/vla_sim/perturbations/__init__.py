"""The tabletop's tasks, perturbed along one axis at a time: `put_on_pad@camera2`. See `axes.py` for the axes."""

from __future__ import annotations

from vla_sim.perturbations.axes import AXES as AXES
from vla_sim.perturbations.axes import STRENGTHS as STRENGTHS
from vla_sim.perturbations.tasks import perturbed as perturbed
from vla_sim.perturbations.tasks import task_names as task_names
