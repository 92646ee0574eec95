"""One mapping of a YAML file, read key by key, so that errors name the key and no key goes unread."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from vla.errors import ConfigError, unknown

PLACEHOLDER = "REVIEW"
"""Stands where a person has to decide."""


def read_section(text: str, where: str) -> Section:
    """The mapping that YAML text is.

    Raises:
        ConfigError: if it is not YAML or no mapping, has a key twice, or a placeholder is left (naming its lines).
    """
    try:
        node, tree = _parsed(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {' '.join(str(error).split())}") from None
    _refuse_placeholders(node)
    return Section(tree, where)


def _parsed(text: str) -> tuple[yaml.Node | None, Any]:
    """The document as nodes, which have lines, and as plain values."""
    loader = (yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


class Section:
    """A mapping and where it stands: `action[2]`."""

    def __init__(self, tree: Any, where: str, *, is_root: bool = True) -> None:
        """Take a tree of YAML values.

        Raises:
            ConfigError: if it is not a mapping.
        """
        if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
            raise ConfigError(f"{where} should be a mapping of names to values, got {type(tree).__name__}")
        self._tree: dict[str, Any] = tree
        self._read: set[str] = set()
        self._is_root = is_root
        self.where = where

    def __contains__(self, key: str) -> bool:
        return key in self._tree

    def value(self, key: str) -> Any:
        """Raises ConfigError if the key is not there."""
        self._read.add(key)
        if self._tree.get(key) is None:
            raise ConfigError(f"{self._name(key)} is missing")
        return self._tree[key]

    def text(self, key: str) -> str:
        """Raises ConfigError unless it is a text that is not empty."""
        value = self.value(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)  # `unit: 1` means the text.
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{self._name(key)}: expected a text, got {value!r}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Raises ConfigError unless it is a finite number, or absent and has a default."""
        if default is not None and key not in self._tree:
            return default
        value = self.value(key)
        if isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value):
            value = float(value)  # YAML 1.1 takes 1e-3 for a text.
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"{self._name(key)}: expected a finite number, got {value!r}")
        return float(value)

    def count(self, key: str) -> int:
        """Raises ConfigError unless it is a whole number from 1."""
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{self._name(key)}: expected a whole number from 1, got {value!r}")
        return value

    def choice[E: enum.Enum](self, key: str, kind: type[E]) -> E:
        """Raises ConfigError unless it is the value of a member of `kind`."""
        value = self.value(key)
        for member in kind:
            if member.value == value:
                return member
        raise ConfigError(f"{self._name(key)}: {unknown('choice', str(value), [str(m.value) for m in kind])}")

    def items(self, key: str) -> list[Section]:
        """Raises ConfigError unless it is a list of mappings."""
        value = self.value(key)
        if not isinstance(value, list):
            raise ConfigError(f"{self._name(key)}: expected a list, got {type(value).__name__}")
        return [Section(item, f"{self._name(key)}[{i}]", is_root=False) for i, item in enumerate(value)]

    def named(self, key: str) -> Iterator[tuple[str, Section]]:
        """Raises ConfigError unless it is a mapping of names to mappings."""
        inner = self.inner(key)
        return ((name, inner.inner(name)) for name in inner._tree)

    def inner(self, key: str) -> Section:
        """Raises ConfigError unless it is a mapping."""
        return Section(self.value(key), self._name(key), is_root=False)

    def holds_mapping(self, key: str) -> bool:
        return isinstance(self.value(key), dict)

    def refuse_rest(self) -> None:
        """Return if every key was read.

        Raises:
            ConfigError: naming one that means nothing here.
        """
        for key in self._tree:
            if key not in self._read:
                raise ConfigError(f"{'' if self._is_root else self.where + ': '}{unknown('key', key, self._read)}")

    def _name(self, key: str) -> str:
        return key if self._is_root else f"{self.where}.{key}"


def _refuse_placeholders(node: yaml.Node | None) -> None:
    lines = sorted({line for line, value in _scalars(node) if PLACEHOLDER in value})
    if lines:
        shown = ", ".join(str(line) for line in lines)
        raise ConfigError(f"{PLACEHOLDER} is still on line{'s' if len(lines) > 1 else ''} {shown}: decide these first")


def _scalars(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Every key and value with its line, from 1; refuses keys that are there twice."""
    match node:
        case yaml.ScalarNode():
            yield node.start_mark.line + 1, str(node.value)
        case yaml.SequenceNode():
            for item in node.value:
                yield from _scalars(item)
        case yaml.MappingNode():
            keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for key in {key for key in keys if keys.count(key) > 1}:
                raise ConfigError(f"key '{key}' is there twice, below line {node.start_mark.line + 1}")
            for pair in node.value:
                for item in pair:
                    yield from _scalars(item)
