from __future__ import annotations

import logging

import pytest

from vla_robot_io.reasons import LOG_EVERY, Code, Reason, TripLog

FAST = Reason(Code.STEP_SIZE, "joint_1", 0.2, 0.1, "joint_1 asked to move 0.2 rad, over its step limit 0.1 rad")
HIGH = Reason(Code.JOINT_LIMIT, "joint_4", 0.0, -0.1, "joint_4 asked for 0 rad, above its soft limit -0.1 rad")


def test_a_limit_is_logged_on_its_first_trip_and_on_every_fiftieth(caplog: pytest.LogCaptureFixture) -> None:
    log = TripLog()
    with caplog.at_level(logging.WARNING, "vla.robot_io"):
        for _ in range(2 * LOG_EVERY + 1):
            log.record([FAST])
    assert [record.args[2] for record in caplog.records] == [1, LOG_EVERY, 2 * LOG_EVERY]  # type: ignore[index]


def test_each_limit_is_logged_on_its_own(caplog: pytest.LogCaptureFixture) -> None:
    log = TripLog()
    with caplog.at_level(logging.WARNING, "vla.robot_io"):
        log.record([FAST])
        log.record([FAST, HIGH])
    assert [record.args[0] for record in caplog.records] == ["step_size", "joint_limit"]  # type: ignore[index]


def test_a_run_ends_with_a_command_that_does_not_trip() -> None:
    log = TripLog()
    for reasons in ([FAST], [FAST], [], [FAST]):
        log.record(reasons)
    assert log.run_length(Code.STEP_SIZE, "joint_1") == 1


def test_the_log_tells_the_length_of_the_run(caplog: pytest.LogCaptureFixture) -> None:
    log = TripLog()
    with caplog.at_level(logging.WARNING, "vla.robot_io"):
        for index in range(LOG_EVERY):
            log.record([FAST] if index != 20 else [])
        log.record([FAST])
    assert "trip 50, run of 30" in caplog.text


def test_counts_name_every_code() -> None:
    log = TripLog()
    log.record([FAST, HIGH])
    log.record([FAST])
    assert log.counts()["step_size"] == 2
    assert log.counts()["joint_limit"] == 1
    assert log.counts()["workspace"] == 0
