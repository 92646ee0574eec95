from __future__ import annotations

import inspect
import re

import pytest

from vla import errors
from vla.errors import ConfigError, VlaError, unknown

ALL = [value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]


@pytest.mark.parametrize("error", ALL)
def test_every_error_is_a_vla_error(error: type[Exception]) -> None:
    assert issubclass(error, VlaError)


def test_the_drawing_shows_every_error() -> None:
    drawn = re.findall(r"\b[A-Z]\w*(?:Error|Mismatch|Fault|Held|Lost)\b", errors.__doc__ or "")
    assert sorted(drawn) == sorted(error.__name__ for error in ALL)


def test_an_unknown_name_gets_the_nearest_that_exists() -> None:
    error = unknown("task", "puhs", ["reach", "push", "stack"])
    assert isinstance(error, ConfigError)
    assert str(error) == "unknown task 'puhs'; did you mean 'push'? (choices: push, reach, stack)"


def test_an_unknown_name_with_nothing_near_gets_the_choices_alone() -> None:
    assert str(unknown("task", "xyz", ["reach", "push"])) == "unknown task 'xyz' (choices: push, reach)"
