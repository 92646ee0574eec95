"""Checkpoints of this project as a policy of LeRobot's, of the type `vla`.

    checkpoint ── python -m lerobot_policy_vla ──► folder ── lerobot-eval --policy.path=folder ──► actions

LeRobot imports this package by its name when a command starts, and finds the modules below by theirs.
"""

from __future__ import annotations

from lerobot_policy_vla.configuration_vla import VlaConfig as VlaConfig
