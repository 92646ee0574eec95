"""Whatever is written on a command line comes out as it was meant."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from vla import cli
from vla.options import assign, options


@dataclasses.dataclass
class NoteConfig:
    text: str = ""
    lines: list[str] = dataclasses.field(default_factory=list)
    number: float = 0.0
    count: int | None = None


KNOWN = options(NoteConfig)
PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]))
TRICKY = st.text("${}\\a:.'")
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="[],'\""), min_size=1)


def note(**values: object) -> NoteConfig:
    config = OmegaConf.structured(NoteConfig)
    for name, value in values.items():
        assign(config, KNOWN, name, value)
    made = OmegaConf.to_object(config)
    assert isinstance(made, NoteConfig)
    return made


def is_quoted(text: str) -> bool:
    return len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""


@given((PLAIN | TRICKY).filter(lambda text: not is_quoted(text)))
def test_text_comes_out_as_it_was_written(text: str) -> None:
    assert note(text=text).text == text


@given(PLAIN)
def test_quoted_text_comes_out_without_its_quotes(text: str) -> None:
    assert note(text=f'"{text}"').text == text


@given(st.lists(WORDS))
def test_a_list_comes_out_element_by_element(words: list[str]) -> None:
    assert note(lines=f"[{','.join(words)}]").lines == words


@given(st.floats(allow_nan=False))
def test_a_number_comes_out_exactly(number: float) -> None:
    assert note(number=repr(number)).number == number


@given(PLAIN, st.lists(PLAIN), st.floats(allow_nan=False, allow_infinity=False), st.none() | st.integers())
def test_a_saved_configuration_gives_the_same_again(
    text: str, lines: list[str], number: float, count: int | None
) -> None:
    config = NoteConfig(text, lines, number, count)
    saved = OmegaConf.to_yaml(OmegaConf.create(cli.resolved(config)))
    again = OmegaConf.to_container(OmegaConf.create(saved))
    assert isinstance(again, dict)
    assert note(**{str(name): value for name, value in again.items()}) == config
