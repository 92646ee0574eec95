"""How many operations a second devices are said to do at most, by the name that the driver gives them.

Matrix products in bf16, without sparsity, as their makers' data sheets state them; the first name that fits counts.
"""

from __future__ import annotations

import re

PEAKS: tuple[tuple[str, float], ...] = (
    ("H200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("L4", 121e12),
)


def stated_peak(name: str) -> float | None:
    """Of the device of this name, operations a second; None if it is not in the table."""
    return next((peak for known, peak in PEAKS if re.search(rf"\b{known}\b", name)), None)
