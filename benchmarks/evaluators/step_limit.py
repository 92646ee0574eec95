"""Meta-World's own limit of steps, lowered for both sides alike: an episode that fails lasts that long, here and there.

LeRobot's environment asks Meta-World to step, and so does ours; both end when Meta-World says so.
"""

from __future__ import annotations

import importlib
import os

VARIABLE = "EVALUATION_STEPS"


def lower_the_limit() -> int | None:
    """Lower the limit in this process to the number in EVALUATION_STEPS, if it holds one; the number."""
    text = os.environ.get(VARIABLE)
    if text is None:
        return None
    importlib.import_module("metaworld.sawyer_xyz_env").SawyerXYZEnv.max_path_length = int(text)
    return int(text)
