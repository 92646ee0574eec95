"""`vla train` and `lerobot-train`, each with a gate before its training step, for `benchmarks.training`."""
