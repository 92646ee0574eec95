"""`python -m benchmarks [NAME ...]`: measure the claims, here and now, into `benchmarks/results/`."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.comparison import Measurement, measure
from benchmarks.machine import machine
from vla.errors import VlaError, unknown

BENCHMARKS = {
    "decoding": "benchmarks.decoding",
    "reading": "benchmarks.reading",
    "rendering": "benchmarks.rendering",
}
RESULTS = Path(__file__).parent / "results"


def main(names: Sequence[str]) -> int:
    try:
        for name in names or BENCHMARKS:
            if name not in BENCHMARKS:
                raise unknown("benchmark", name, BENCHMARKS)
            _run(name)
    except VlaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(name: str) -> None:
    measurements = [measure(comparison) for comparison in importlib.import_module(BENCHMARKS[name]).comparisons()]
    for measurement in measurements:
        print(f"{name}: {_line(measurement)}")
    RESULTS.mkdir(exist_ok=True)
    result = {"machine": machine(), "measurements": [dataclasses.asdict(measurement) for measurement in measurements]}
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _line(measurement: Measurement) -> str:
    rates = f"{measurement.baseline_per_s:.4g} against {measurement.contender_per_s:.4g} {measurement.unit}/s"
    return f"{measurement.claim}: {rates}, a factor of {measurement.ratio:.2f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
