from __future__ import annotations

import itertools

import pytest

from vla.tokens import utf8


@pytest.mark.parametrize("number", [0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF])
def test_a_whole_character_leads_back_to_the_start(number: int) -> None:
    assert utf8.follow(utf8.START, chr(number).encode()) == (utf8.START, 1)


def test_what_comes_inside_a_character_only_raises_the_state() -> None:
    for number in (0x80, 0x800, 0x1000, 0xD000, 0x10000, 0x50000, 0x100000):
        text = chr(number).encode()
        states = [utf8.follow(utf8.START, text[:length])[0] for length in range(len(text))]
        assert states == sorted(set(states))


def test_two_bytes_are_followed_iff_some_characters_begin_with_them() -> None:
    numbers = itertools.chain(range(0xD800), range(0xE000, 0x110000))
    beginnings = {chr(number).encode()[:length] for number in numbers for length in (1, 2)}
    for text in map(bytes, itertools.product(range(256), repeat=2)):
        follows = text in beginnings or (text[0] < 0x80 and text[1:] in beginnings)
        assert (utf8.follow(utf8.START, text)[0] >= 0) == follows, text
