"""`python -m benchmarks [NAME ...] [data=STORE]`: measure the claims, here and now, into `benchmarks/results/`."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.comparison import Comparison, Measurement, measure
from benchmarks.machine import machine
from vla.errors import VlaError, unknown

BENCHMARKS = {
    "arm_process": "benchmarks.arm_process",
    "arms": "benchmarks.arms",
    "corruption": "benchmarks.corruption",
    "decode": "benchmarks.decode",
    "determinism": "benchmarks.determinism",
    "embodiments": "benchmarks.embodiments",
    "engines": "benchmarks.engines",
    "envelope_fuzz": "benchmarks.envelope_fuzz",
    "evaluation": "benchmarks.evaluation",
    "heads": "benchmarks.heads",
    "kills": "benchmarks.kills",
    "loading": "benchmarks.loading",
    "mixture": "benchmarks.mixture",
    "perturbations": "benchmarks.perturbations",
    "reading": "benchmarks.reading",
    "recording": "benchmarks.recording",
    "rendering": "benchmarks.rendering",
    "served_arm": "benchmarks.served_arm",
    "serving": "benchmarks.serving",
    "rendering_metaworld": "benchmarks.rendering_metaworld",
    "soak": "benchmarks.soak",
    "suites": "benchmarks.suites",
    "step_and_memory": "benchmarks.step_and_memory",
    "tokens": "benchmarks.tokens",
    "totality": "benchmarks.totality",
    "training": "benchmarks.training",
}
NOT_COMPARISONS = (
    "arm_process",
    "arms",
    "corruption",
    "determinism",
    "embodiments",
    "engines",
    "envelope_fuzz",
    "evaluation",
    "heads",
    "kills",
    "loading",
    "mixture",
    "perturbations",
    "recording",
    "served_arm",
    "serving",
    "soak",
    "suites",
    "step_and_memory",
    "tokens",
    "totality",
    "training",
)
"""Measure other things than speed, some on a store: `measurements(store)` prints them and gives them back."""
RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str]) -> int:
    names = [argument for argument in arguments if not argument.startswith("data=")]
    stores = [argument.removeprefix("data=") for argument in arguments if argument.startswith("data=")]
    try:
        for name in names or BENCHMARKS:
            if name not in BENCHMARKS:
                raise unknown("benchmark", name, BENCHMARKS)
            _run(name, stores[-1] if stores else None)
    except VlaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(name: str, store: str | None) -> None:
    module = importlib.import_module(BENCHMARKS[name])
    result = module.measurements(store) if name in NOT_COMPARISONS else _compared(name, module.comparisons())
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine(), **result}, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _compared(name: str, comparisons: Sequence[Comparison]) -> dict[str, object]:
    measurements = [measure(comparison) for comparison in comparisons]
    for measurement in measurements:
        print(f"{name}: {_line(measurement)}")
    return {"measurements": [dataclasses.asdict(measurement) for measurement in measurements]}


def _line(measurement: Measurement) -> str:
    rates = f"{measurement.baseline_per_s:.4g} against {measurement.contender_per_s:.4g} {measurement.unit}/s"
    return f"{measurement.claim}: {rates}, a factor of {measurement.ratio:.2f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
