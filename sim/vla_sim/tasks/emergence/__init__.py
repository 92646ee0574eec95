"""Tiles that bear drawings, and are spoken of in words that robot data never says.

| file           | holds                                                                                     |
|----------------|-------------------------------------------------------------------------------------------|
| `referents.py` | what a tile is called, by colour or by what only the corpus teaches; which tile words mean |
| `tables.py`    | random tables of tiles and blocks, and where the camera stands                            |
| `tasks.py`     | the tasks: `go_to` and `put_on`, once for each way to call a tile                         |
"""

from vla_sim.tasks.emergence.tasks import CHANCE as CHANCE
from vla_sim.tasks.emergence.tasks import EMERGENCE_TASKS as EMERGENCE_TASKS
from vla_sim.tasks.emergence.tasks import GROUPS as GROUPS
from vla_sim.tasks.emergence.tasks import SEEN_TASKS as SEEN_TASKS
from vla_sim.tasks.emergence.tasks import group_chance as group_chance
from vla_sim.tasks.emergence.tasks import training_sentences as training_sentences
