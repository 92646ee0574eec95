"""Where a policy breaks: success by axis and strength, beside the same seeds unperturbed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vla_policies.rollout import RolloutResult
from vla_sim.paired_tests import Pairs, mcnemar
from vla_sim.perturbations.tasks import cell_of
from vla_sim.tally import carried_out, tally, tally_of
from vla_sim.tasks.task import BASE

UNPERTURBED = "unperturbed"


def perturbation_groups(results: Sequence[RolloutResult]) -> dict[str, dict[str, Any]]:
    """Success of the unperturbed episodes, and of each axis at each strength (`camera2`), over all tasks."""
    cells: dict[str, list[RolloutResult]] = {}
    for result in results:
        cell = cell_of(result.spec.task)
        cells.setdefault(UNPERTURBED if cell is None else f"{cell[0]}{cell[1]}", []).append(result)
    return {name: tally(found) for name, found in cells.items()}


def perturbation_axes(results: Sequence[RolloutResult]) -> dict[str, dict[str, dict[str, Any]]]:
    """By axis, then strength: what was lost and gained against the same task and seed unperturbed, where both were had.

    `lost` are episodes that succeed unperturbed alone, `gained` perturbed alone; `p` is McNemar's exact p-value.
    """
    done = carried_out(results)
    usual = {(r.spec.task, r.spec.seed): r.success for r in done if cell_of(r.spec.task) is None}
    pairs: dict[tuple[str, int], list[tuple[bool, bool]]] = {}
    for result in done:
        cell, key = cell_of(result.spec.task), (result.spec.task.partition(BASE)[0], result.spec.seed)
        if cell is not None and key in usual:
            pairs.setdefault(cell, []).append((usual[key], result.success))
    tree: dict[str, dict[str, dict[str, Any]]] = {}
    for (axis, strength), outcomes in pairs.items():
        tree.setdefault(axis, {})[str(strength)] = _compared(Pairs.of(outcomes), outcomes)
    return tree


def _compared(pairs: Pairs, outcomes: Sequence[tuple[bool, bool]]) -> dict[str, Any]:
    return {
        **tally_of([after for _, after in outcomes], 0),
        "lost": pairs.only_a,
        "gained": pairs.only_b,
        "p": mcnemar(pairs.only_a, pairs.only_b),
    }
