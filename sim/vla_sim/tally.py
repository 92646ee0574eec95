"""Success among the episodes that were carried out, and the errors beside it.

    results ─┬─ carried out ─► n, success, Wilson interval
             └─ ended in an error (a world that broke, a worker that died, a policy that raised) ─► errors

An error is no failure of the policy, nor a success: nobody knows what the episode would have come to. So it is not in
`n`, and what it could have changed is stated: `bounds` is the success rate if all errors had been failures, and if all
had been successes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vla_policies.rollout import RolloutResult
from vla_sim.intervals import share

UNKNOWN: dict[str, Any] = {"n": 0, "success": None, "low": 0.0, "high": 1.0}
"""Of no episode at all: any rate is possible."""


def carried_out(results: Iterable[RolloutResult]) -> list[RolloutResult]:
    """The results that say something of the policy: those that did not end in an error."""
    return [result for result in results if result.error is None]


def tally(results: Sequence[RolloutResult]) -> dict[str, Any]:
    """Success of some episodes; see `tally_of`."""
    done = carried_out(results)
    return tally_of([result.success for result in done], len(results) - len(done))


def tally_of(outcomes: Sequence[bool], errors: int) -> dict[str, Any]:
    """Success among outcomes, as a report gives it.

    Args:
        outcomes: of what was carried out.
        errors: how many more were not.

    Returns:
        `n`, `success` (`None` if n is 0), `low` and `high` (Wilson 95 %), `errors`, and where there are errors
        `bounds`: `low` and `high`, the success rates of all if the errors were failures, and if they were successes.
    """
    tree: dict[str, Any] = (share(outcomes).to_json() if outcomes else UNKNOWN) | {"errors": errors}
    if errors:
        successes, total = sum(outcomes), len(outcomes) + errors
        tree["bounds"] = {"low": successes / total, "high": (successes + errors) / total}
    return tree


def errors_matter(tree: Mapping[str, Any]) -> bool:
    """Whether the errors could have moved the success rate out of the interval that is stated for it."""
    bounds = tree.get("bounds")
    return bounds is not None and not tree["low"] <= bounds["low"] <= bounds["high"] <= tree["high"]


def told_errors(tree: Mapping[str, Any]) -> str | None:
    """What is to be said of the errors of a tally, in a sentence; `None` if there are none."""
    if not tree.get("errors"):
        return None
    low, high = 100 * tree["bounds"]["low"], 100 * tree["bounds"]["high"]
    verdict = "they could change the result" if errors_matter(tree) else "either is inside the interval"
    return (
        f"{tree['errors']} of {tree['n'] + tree['errors']} episodes ended in errors and are not counted: success would "
        f"be {low:.1f} % if they were failures, {high:.1f} % if successes; {verdict}"
    )
