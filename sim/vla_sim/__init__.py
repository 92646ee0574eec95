"""Simulated worlds, tasks, experts, environments, collection and evaluation."""
