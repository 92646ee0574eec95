"""`vla eval` as installed, with the limit of steps lowered in this process and in its workers.

A worker is spawned, and begins by running this file under another name.
"""

from __future__ import annotations

import sys

from benchmarks.evaluators.step_limit import lower_the_limit
from vla import commands

if __name__ in ("__main__", "__mp_main__"):
    lower_the_limit()

if __name__ == "__main__":
    sys.exit(commands.main(["eval", *sys.argv[1:]]))
