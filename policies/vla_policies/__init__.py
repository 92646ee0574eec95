"""Policies, chunk execution, the rollout loop, and training."""
