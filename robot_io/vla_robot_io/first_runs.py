"""Which policies have been seen on which arms: the first run of a policy on an arm is a dry one, unless told otherwise.

$XDG_STATE_HOME/vla/dry_runs.json      {"arm": ["policy", ...]}      or below ~/.local/state
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

from vla.files import write_atomically

_log = logging.getLogger(__name__)


def state_file() -> Path:
    """Where it is kept; of the user, not of a run."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "vla" / "dry_runs.json"


def has_been_dry(arm: str, policy: str) -> bool:
    """Whether this policy has made a dry run on this arm.

    Args:
        policy: the SHA-256 of its checkpoint, or its name if it has none.
    """
    return policy in _read().get(arm, [])


def remember_dry(arm: str, policy: str) -> None:
    """Keep that it has; that it could not be kept is told and keeps nothing from going on."""
    seen = _read()
    seen[arm] = sorted({*seen.get(arm, []), policy})
    try:
        state_file().parent.mkdir(parents=True, exist_ok=True)
        write_atomically(state_file(), json.dumps(seen, indent=1))
    except OSError as error:
        _log.warning("this dry run could not be remembered in %s: %s", state_file(), error)


def _read() -> dict[str, list[str]]:
    """What is known; nothing where the file is damaged: then the next run is a dry one again."""
    try:
        tree = json.loads(state_file().read_bytes())
        return {str(arm): [str(policy) for policy in policies] for arm, policies in tree.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
