"""Numbers far beyond nearly all others of their field, found over a whole store.

With q01 and q99 the field's quantiles over every step, and span = q99 - q01, a number is an outlier if it lies farther
than `spans` x span below q01 or above q99. A span is at least 5 % of the field's range, so that a field which hardly
ever moves may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float32

from vla.embodiment import Field
from vla_datasets.upkeep.findings import Finding, Kind, Severity

LEAST_SPAN = 0.05


def outliers(
    what: str, fields: Sequence[Field], values: Mapping[str, Float32[np.ndarray, "_ fields"]], spans: float
) -> Iterator[Finding]:
    """A finding for each episode and field with outliers.

    Args:
        what: `action` or `proprioception`.
        values: of every step, by episode; of differing lengths.
    """
    if not values:
        return
    low, high = np.quantile(np.concatenate(list(values.values())).astype(np.float64), (0.01, 0.99), axis=0)
    ranges = np.array([field.high - field.low for field in fields], np.float64)
    margin = spans * np.maximum(high - low, LEAST_SPAN * ranges)
    for key, rows in values.items():
        excess = np.maximum(low - rows, rows - high)  # (steps, fields)
        for index in map(int, np.flatnonzero((excess > margin).any(axis=0))):
            step = int(np.argmax(excess[:, index]))
            yield Finding(
                Severity.WARNING,
                Kind.OUTLIER,
                key,
                f"{what} '{fields[index].name}' is {rows[step, index]:.4g} {fields[index].unit} at step {step}, "
                f"98 % of this store's are from {low[index]:.4g} to {high[index]:.4g}",
            )
