"""What a control loop says to whoever ticks its arm: in this process, or in one of its own.

control loop ── ArmLink ──┬─► InProcessLink: the arm is ticked while the loop sleeps, by any clock
                          └─► ArmProcess (`arm_process_link.py`): it is ticked all the time, whatever happens here
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from vla.errors import ArmFault
from vla.interfaces import ArmMode, Clock
from vla_robot_io.arm_runner import ArmRunner
from vla_robot_io.dead_man import let_go
from vla_robot_io.plans import ArmReport, Plan
from vla_robot_io.reasons import Reason, TripLog

PLAN_VALID_S = 0.1
"""A plan that is taken later than this after it was made is dropped: by real time, some of it always goes by."""
MOST_BRAKING_S = 10.0
"""No arm takes longer to come to rest."""


@runtime_checkable
class ArmLink(Protocol):
    """An arm behind its envelope, wherever that is."""

    permit: Callable[[], Reason | None] | None
    """Asked while the arm moves; a reason not to go on brakes it, and is noted."""

    @property
    def dead_man(self) -> Callable[[], bool] | None:
        """While it is set, plans are carried out only while it says that the operator's input is held; one that cannot
        be asked, or falls silent, is let go. It may be asked by another thread.
        """
        ...

    @dead_man.setter
    def dead_man(self, is_held: Callable[[], bool] | None) -> None: ...

    @property
    def latched(self) -> str | None:
        """The fault that is latched now, by the name that its acknowledgement needs."""
        ...

    @property
    def mode(self) -> ArmMode: ...

    @property
    def last_fault(self) -> str | None:
        """The last fault that was latched or met."""
        ...

    @property
    def trips(self) -> TripLog:
        """Told of every limit that is met."""
        ...

    def open(self) -> None:
        """Connect and configure, if that is yet to be done; no torque."""
        ...

    def enable(self) -> None:
        """Torque on, at rest where the arm was commanded to be.

        Raises:
            ArmFault: if a fault is latched.
            ArmError: if the arm does not read a finite position.
        """
        ...

    def look(self) -> ArmReport:
        """The newest reading.

        Raises:
            ArmFault: if a fault is latched or met, or nobody ticks the arm.
        """
        ...

    def report(self) -> ArmReport:
        """What is known by now."""
        ...

    def carry_out(
        self, increment: Float64[np.ndarray, " joints"], gripper_m: float, ticks: int, *, stands_still: bool = False
    ) -> None:
        """Move on for so many ticks, or hold, and come back when they are over, or nearly.

        Args:
            increment: of the reference, rad a tick.
            ticks: at least 1.
            stands_still: hold instead, for as long.
        """
        ...

    def take_reasons(self) -> tuple[tuple[Reason, ...], tuple[str, ...]]:
        """The envelope's reasons and the arm's own, since this was last asked: the first of each."""
        ...

    def note(self, reasons: tuple[Reason, ...], source: str) -> None:
        """Take note of limits that the loop itself met."""
        ...

    def hold(self) -> None:
        """Brake, and stay there.

        Raises:
            ArmFault: if the arm will not.
        """
        ...

    def fault(self, text: str) -> None:
        """Brake, and come back when the fault is latched."""
        ...

    def go_on(self) -> None:
        """Acknowledge the stop that holds the arm: the next good plan moves it, if nothing speaks against that."""
        ...

    def acknowledge(self, fault: str) -> None:
        """Clear the latched fault.

        Raises:
            ArmError: if it is another one.
        """
        ...

    def close(self) -> None:
        """Hold, and close the wire; torque stays as it is."""
        ...


class InProcessLink:
    """An arm that is ticked by whoever waits for it: exact on a virtual clock; by real time it stands in between."""

    def __init__(self, runner: ArmRunner, clock: Clock, period_s: float, trips: TripLog) -> None:
        """Tick this runner.

        Args:
            clock: the runner's own.
            period_s: of its ticks.
            trips: the runner's own.
        """
        self._runner, self._clock, self._period_s = runner, clock, period_s
        self.trips = trips
        self.permit: Callable[[], Reason | None] | None = None
        self.dead_man: Callable[[], bool] | None = None
        self._sequence = self._acknowledged = 0
        self._due_s = clock.now()

    @property
    def mode(self) -> ArmMode:
        return self._runner.mode

    @property
    def last_fault(self) -> str | None:
        return self._runner.last_fault

    @property
    def latched(self) -> str | None:
        return self._runner.arm.latched

    def open(self) -> None:
        self._runner.open()

    def enable(self) -> None:
        self._runner.enable()

    def look(self) -> ArmReport:
        self._runner.look()
        self._end()
        report = self._runner.report()
        if report.failure is not None:
            raise ArmFault(report.failure)
        return report

    def report(self) -> ArmReport:
        return self._runner.report()

    def carry_out(
        self, increment: Float64[np.ndarray, " joints"], gripper_m: float, ticks: int, *, stands_still: bool = False
    ) -> None:
        self._sequence += 1
        now_s = self._clock.now()
        until_s = now_s + PLAN_VALID_S
        plan = Plan(self._sequence, increment, gripper_m, ticks, until_s, self._acknowledged, stands_still=stands_still)
        due_s = self._grid(now_s)
        for tick in range(ticks):
            late = tick > 0 and self._clock.now() - due_s > self._period_s
            reason = None if stands_still else self._forbidden()
            self._runner.tick(plan, due_s if tick > 0 else None, reason)
            if self._runner.failure is not None:
                break
            # Late commands move the grid: to catch up would be to burst.
            due_s = (self._clock.now() if late else due_s) + self._period_s
            self._clock.sleep_until(due_s)
        self._due_s = due_s
        self._end()

    def take_reasons(self) -> tuple[tuple[Reason, ...], tuple[str, ...]]:
        return self._runner.arm.take_reasons()

    def note(self, reasons: tuple[Reason, ...], source: str) -> None:
        self._runner.arm.note(reasons, source)

    def hold(self) -> None:
        if self.mode is not ArmMode.RUNNING:
            return
        begin_s = self._clock.now()
        while self.mode is ArmMode.RUNNING and self._clock.now() - begin_s < MOST_BRAKING_S:
            self.carry_out(self._still(), 0.0, 1, stands_still=True)
        if self._runner.failure is not None:
            raise ArmFault(self._runner.failure)

    def fault(self, text: str) -> None:
        self._runner.fault(text)
        self._end()

    def go_on(self) -> None:
        halt = self._runner.report().halt
        self._acknowledged = max(self._acknowledged, 0 if halt is None else halt.number)

    def acknowledge(self, fault: str) -> None:
        self._runner.acknowledge(fault)

    def close(self) -> None:
        try:
            if self.mode is ArmMode.RUNNING:
                self.hold()
        finally:
            self._runner.close()

    def _forbidden(self) -> Reason | None:
        reason = None if self.permit is None else self.permit()
        if reason is not None or self.dead_man is None or self.dead_man():
            return reason
        return let_go("the dead-man input is not held")

    def _end(self) -> None:
        """Tick on until a fault that is coming is latched: nobody else does."""
        begin_s = self._clock.now()
        while self._runner.is_ending and self._clock.now() - begin_s < MOST_BRAKING_S:
            self._runner.tick()
            self._clock.sleep_until(self._clock.now() + self._period_s)

    def _still(self) -> Float64[np.ndarray, " joints"]:
        return np.zeros_like(self._runner.report().reference.positions)

    def _grid(self, began_s: float) -> float:
        """When the first tick is due: where the last ones ended, if that was hardly ago.

        So looking, which takes some milliseconds, does not slow the loop down; thinking, which takes longer, does.
        """
        return self._due_s if 0 <= began_s - self._due_s <= self._period_s / 2 else began_s
