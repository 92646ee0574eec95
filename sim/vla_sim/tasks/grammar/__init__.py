"""Tasks from a compositional grammar: typed goals, a generator of scenes, a symbolic referee, an expert for any goal.

| file              | holds                                                                       |
|-------------------|-----------------------------------------------------------------------------|
| `relations.py`    | where one thing is to others, in metres                                     |
| `descriptions.py` | noun phrases, and which thing of a scene they pick out                      |
| `goals.py`        | what a sentence asks for, and what that comes to in a scene                 |
| `sentences.py`    | from a goal to a sentence and back                                          |
| `referee.py`      | whether an aim is reached                                                   |
| `expert.py`       | what to do next towards an aim, from any state; `places.py`: where to       |
| `tables.py`       | random scenes that clearly offer a goal                                     |
| `procedural.py`   | a task: all of these behind `vla_sim.tasks.task.Undertaking`                |

To add a suite, read and imitate `spatial.py`, and add it to `SUITES` here.
"""

from __future__ import annotations

import dataclasses

from vla.interfaces import EpisodeSpec
from vla_sim.tasks.grammar import goal_suite, language, object_suite, spatial
from vla_sim.tasks.grammar.procedural import GrammarTask as GrammarTask
from vla_sim.worlds.scene import SHAPES_CAST, TABLETOP_CAST, Cast


@dataclasses.dataclass(frozen=True)
class GrammarSuite:
    """Tasks of the grammar that belong together."""

    tasks: tuple[GrammarTask, ...]
    groups: dict[str, tuple[str, ...]]
    sets: tuple[tuple[str, ...], ...] = ()
    """Tasks that share their scenes and are also scored together: at a seed, all of them or none."""
    cast: Cast = TABLETOP_CAST
    """The things that its scenes hold some of."""


SUITES: dict[str, GrammarSuite] = {
    "spatial": GrammarSuite(spatial.TASKS, spatial.GROUPS, spatial.SETS),
    "goal": GrammarSuite(goal_suite.TASKS, goal_suite.GROUPS, goal_suite.SETS),
    "object": GrammarSuite(object_suite.TASKS, object_suite.GROUPS, cast=SHAPES_CAST),
    "language": GrammarSuite(language.TASKS, language.GROUPS, language.SETS),
}
GRAMMAR_TASKS: dict[str, GrammarTask] = {task.name: task for suite in SUITES.values() for task in suite.tasks}
"""By name, which no two share."""

_SHUFFLED_SEEDS = range(12)


def training_sentences(suite: str) -> list[str]:
    """Instructions in training words of a few seeds of each task of a suite: the grammar can say many more."""
    specs = [EpisodeSpec(task.name, seed) for task in SUITES[suite].tasks for seed in _SHUFFLED_SEEDS]
    return list(dict.fromkeys(GRAMMAR_TASKS[spec.task].begin(spec).instruction for spec in specs))
