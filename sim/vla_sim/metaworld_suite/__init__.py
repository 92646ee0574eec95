"""Meta-World's fifty manipulation tasks and their scripted experts (Yu et al. 2019, arXiv:1910.10897).

    (task, seed) ─► Meta-World's environment ◄── action ── its scripted expert, or a policy
                         └──► what the expert sees: the state; what a policy sees: pictures, hand, opening, words

The package `metaworld` is an extra, and is imported only when an episode begins.
"""

from __future__ import annotations

from vla_sim.metaworld_suite.difficulty import DIFFICULTY as DIFFICULTY
from vla_sim.metaworld_suite.embodiments import METAWORLD_SAWYER as METAWORLD_SAWYER
from vla_sim.metaworld_suite.embodiments import METAWORLD_SAWYER_BLIND as METAWORLD_SAWYER_BLIND
from vla_sim.metaworld_suite.embodiments import METAWORLD_SAWYER_SMALL as METAWORLD_SAWYER_SMALL
from vla_sim.metaworld_suite.instructions import INSTRUCTIONS as INSTRUCTIONS

SUITE = "metaworld"
"""What `suite=` calls it."""
BODIES = {SUITE: METAWORLD_SAWYER, "metaworld_small": METAWORLD_SAWYER_SMALL}
"""The suites: the same tasks, seen by other cameras."""
