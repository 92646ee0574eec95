"""How the pages of reports are made: templates beside this file, everything escaped, nothing loaded from elsewhere.

Parts that pages share (style, script, the list of episodes) are files that a template includes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from importlib import resources

import jinja2
from markupsafe import Markup

INLINE_LIMIT_BYTES = 24_000_000
"""Videos of a page beyond this stay files beside it: a page of a hundred films would not open on a phone."""


def page_environment(**filters: Callable[..., str]) -> jinja2.Environment:
    """What templates are rendered in: values are escaped, and a name that is not given is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update({"words": words, **filters})
    environment.globals["part"] = lambda name: Markup(_text(name))
    return environment


def words(name: str) -> str:
    """A name of ours as people write it."""
    return name.replace("_", " ")


class Inlining:
    """Videos into a page as long as there is room, and then by the path of their file."""

    def __init__(self, limit_bytes: int = INLINE_LIMIT_BYTES) -> None:
        self._left = limit_bytes
        self.num_beside = 0

    def source(self, film: bytes, path: str) -> str:
        """What a video's `src` is: the film itself, or the path if the page is full."""
        if len(film) > self._left:
            self.num_beside += 1
            return path
        self._left -= len(film)
        return data_uri("video/mp4", film)


def data_uri(kind: str, content: bytes) -> str:
    """A file inside a page, of a kind such as `video/mp4`."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _text(name: str) -> str:
    return (resources.files("vla_sim") / name).read_text(encoding="utf-8")
