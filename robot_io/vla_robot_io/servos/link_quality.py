"""How good the wire is: the part of answers that came broken, over the last second.

One broken answer in a hundred is asked for again and counted; one in three is a cable, a ground or a power supply, and
no arm should be moved over it. Servos that do not answer at all are not counted here: they are told by name.
"""

from __future__ import annotations

import collections

from vla_robot_io.servos.bus import Tally

WINDOW_S = 1.0
MOST_BROKEN = 0.1
"""A greater part of broken answers than this is a fault ..."""
FEWEST_ANSWERS = 20
"""... once there were this many answers within the window."""


class LinkQuality:
    """What became of one bus's answers lately."""

    def __init__(self) -> None:
        self._seen: collections.deque[tuple[float, int, int]] = collections.deque()

    def look(self, tally: Tally, now_s: float) -> str | None:
        """Why nothing should be moved over this wire, one sentence, if it should not.

        Args:
            tally: of the bus, since it was opened.
        """
        self._seen.append((now_s, tally.answered, tally.broken))
        while now_s - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()
        _, answered, broken = self._seen[0]
        broken, answers = tally.broken - broken, tally.answered - answered + tally.broken - broken
        if answers < FEWEST_ANSWERS or broken <= MOST_BROKEN * answers:
            return None
        return (
            f"link quality: {broken} of {answers} answers in the last second were broken, "
            f"over {MOST_BROKEN:.0%}: look at cables, ground and supply"
        )
