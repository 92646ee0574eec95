"""What all contract checks say when a promise is broken. These work under `python -O` too, unlike `assert`."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from vla.errors import VlaError


def require(condition: object, broken: str) -> None:
    """Return if `condition` holds.

    Args:
        broken: what was promised and what came, one sentence.

    Raises:
        AssertionError: with that sentence.
    """
    if not condition:
        raise AssertionError(broken)


@contextlib.contextmanager
def refused(what: str, *errors: type[VlaError], naming: str = "") -> Iterator[None]:
    """A block that must raise one of `errors`.

    Args:
        what: what is refused, for the message: `a chunk with NaN`.
        naming: a word that the error's message must hold.

    Raises:
        AssertionError: if nothing is raised, another error is, or the message lacks `naming`.
    """
    expected = " or ".join(error.__name__ for error in errors)
    try:
        yield
    except errors as error:
        require(re.search(re.escape(naming), str(error)), f"{what}: the error should name '{naming}', it says: {error}")
    except Exception as error:
        raise AssertionError(f"{what} should raise {expected}, it raised {type(error).__name__}: {error}") from error
    else:
        raise AssertionError(f"{what} should raise {expected}, it was accepted")


@contextlib.contextmanager
def kept(what: str) -> Iterator[None]:
    """A block that must not raise a `VlaError`; one is turned into an AssertionError about `what`."""
    try:
        yield
    except VlaError as error:
        raise AssertionError(f"{what}: {error}") from error
