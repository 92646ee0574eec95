"""Every error that this project raises on purpose.

VlaError
├── ConfigError            a command line, YAML value or name that does not exist       (exit status 2)
├── EmbodimentMismatch     two contracts that should be one                             (exit status 2)
├── StatisticsError        statistics absent, of the wrong width or not finite          (exit status 2)
├── ObservationError       a camera, shape or type that the embodiment does not promise
├── ActionError            an action or chunk that is not finite or has the wrong shape
├── StoreError             an episode store that is empty, half written or altered      (exit status 2)
├── DataError              a dataset or corpus of others that cannot be read as it is   (exit status 2)
├── CheckpointError        a checkpoint that is absent, incomplete or altered           (exit status 2)
├── ProcessLost            another process of the same run has ended or is out of reach (exit status 2)
├── WireError              a message between client and server that is none
├── ServerError            a policy server that cannot be reached, is late, or refuses
└── ArmError               a command an arm cannot accept in its present state
    ├── ArmHeld            stopped by somebody or something: nothing moves until that is acknowledged
    └── ArmFault           latched: nothing moves until an operator names and acknowledges it
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VlaError(Exception):
    """The base of all of them: catch this at a program's border, and print its one line."""


class ConfigError(VlaError):
    """A command line, configuration value or name that does not exist."""


class EmbodimentMismatch(VlaError):
    """A dataset, checkpoint or server speaks of another robot than the one at hand."""


class StatisticsError(VlaError):
    """Statistics are absent, of the wrong width, or not finite."""


class ObservationError(VlaError):
    """An observation lacks a camera, or has a shape or type its embodiment does not promise."""


class ActionError(VlaError):
    """An action or an action chunk is not finite or has the wrong shape."""


class StoreError(VlaError):
    """An episode store is empty, half written or altered."""


class DataError(VlaError):
    """A dataset or corpus that others made is damaged, unsafe, or not what it is said to be."""


class CheckpointError(VlaError):
    """A checkpoint is absent, incomplete or altered."""


class ProcessLost(VlaError):
    """Another process of the same run has ended or cannot be reached."""


class WireError(VlaError):
    """Bytes from a network that are not a message, or a message that is not what was agreed upon."""


class ServerError(VlaError):
    """A policy server cannot be reached, does not answer in time, or refuses."""


class ArmError(VlaError):
    """An arm cannot accept this call in its present state."""


class ArmHeld(ArmError):
    """The arm was stopped, by a button or because nobody was heard of; nothing moves until that is acknowledged."""


class ArmFault(ArmError):
    """A latched fault: nothing moves until an operator names and acknowledges it."""


def unknown(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that does not exist, with the nearest that does.

    Args:
        kind: what the name should have been, for instance `task`.
        name: what was asked for.
        known: every valid name.
    """
    choices = sorted(known)
    nearest = difflib.get_close_matches(name, choices, n=1, cutoff=0.4)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else ""
    return ConfigError(f"unknown {kind} '{name}'{hint} (choices: {', '.join(choices)})")
