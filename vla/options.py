"""What a configuration dataclass offers on a command line: names, types, defaults and docstrings.

    class EvaluateConfig:                     policy      str = pretrained
        policy: str = "pretrained"      ──►       Who acts.
        '''Who acts.'''

A nested dataclass gives dotted names: `model.width`. This module knows nothing of files or Hydra.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import inspect
import operator
import re
import textwrap
import types
import typing
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vla.errors import ConfigError, unknown


@dataclasses.dataclass(frozen=True)
class Option:
    """One leaf of a configuration dataclass."""

    name: str
    """Dotted, from the top."""
    kind: Any
    """The type, without `None`."""
    is_optional: bool
    default: Any
    """`MISSING` where a value must be given."""
    doc: str

    @property
    def type_name(self) -> str:
        name = _type_name(self.kind)
        return f"{name} | null" if self.is_optional else name


def options(schema: type) -> dict[str, Option]:
    """Every leaf of a dataclass by its dotted name, in the order of the fields."""
    return {option.name: option for option in _walk(schema, prefix="")}


def assign(config: DictConfig, known: dict[str, Option], name: str, value: Any) -> None:
    """Write one value into a structured config, after making it what the option's type asks for.

    Args:
        config: made by `OmegaConf.structured` from the dataclass that `known` describes; changed in place.
        known: the dataclass's options.
        name: dotted name of a leaf, or of a nested dataclass if `value` is a mapping.
        value: text from a command line, or a value from YAML.

    Raises:
        ConfigError: if there is no such option, or the value is not of its type.
    """
    if name in known:
        _assign_leaf(config, known[name], value)
        return
    inner = [other for other in known if other.startswith(f"{name}.")]
    if not inner:
        raise unknown("option", name, known)
    if not isinstance(value, dict):
        raise ConfigError(f"{name}={value}: {name} has several values, give each by its name: {', '.join(inner)}")
    for key, item in value.items():
        assign(config, known, f"{name}.{key}", item)


def _assign_leaf(config: DictConfig, option: Option, value: Any) -> None:
    converted = _convert(option, value)
    try:
        OmegaConf.update(config, option.name, converted, merge=False)
    except OmegaConfBaseException as error:
        raise _mismatch(option, value) from error


def _mismatch(option: Option, value: Any) -> ConfigError:
    return ConfigError(f"{option.name}={value}: expected {option.type_name}, got {value!r}")


# --------------------------------------------------------------------------- from text to values


def _convert(option: Option, value: Any) -> Any:
    if value is None or (option.is_optional and value == "null"):
        return None
    if value == MISSING:
        return value
    if value == "" and (option.default == MISSING or option.kind is Path) and option.kind in (str, Path):
        raise ConfigError(f"{option.name}= is empty: expected {option.type_name}")
    if typing.get_origin(option.kind) is list:
        (item,) = typing.get_args(option.kind)
        return [_scalar(option, item, element) for element in _elements(value)]
    return _scalar(option, option.kind, value)


def _scalar(option: Option, kind: Any, value: Any) -> Any:
    if not isinstance(kind, type):
        return _parsed(option, value)
    if issubclass(kind, enum.Enum):
        return _member(option, kind, value)
    if issubclass(kind, str | Path):
        return _literal(_unquoted(str(value)))
    # OmegaConf itself reads numbers and truth values from text.
    return value if issubclass(kind, int | float) else _parsed(option, value)


def _parsed(option: Option, value: Any) -> Any:
    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError as error:
        raise _mismatch(option, value) from error


def _member(option: Option, kind: type[enum.Enum], value: Any) -> enum.Enum:
    """The member whose name or value this is, in any case."""
    if isinstance(value, kind):
        return value
    text = _unquoted(str(value))
    for member in kind:
        if text.lower() in (member.name.lower(), str(member.value).lower()):
            return member
    raise unknown(option.name, text, _choices(kind))


def _elements(value: Any) -> list[Any]:
    """The elements of `[a, b]`, of `a,b` or of a lone `a`."""
    if not isinstance(value, str):
        return list(value) if isinstance(value, list | tuple) else [value]
    inner = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    return [part.strip() for part in re.findall(r"""'[^']*'|"[^"]*"|[^,\s][^,]*""", inner)]


def _literal(text: str) -> str:
    """The text with OmegaConf's interpolations escaped: `${HOME}` stands for itself."""
    return re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)


def _unquoted(text: str) -> str:
    is_quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if is_quoted else text


# --------------------------------------------------------------------------- from dataclass to options


def _walk(schema: type, prefix: str) -> list[Option]:
    found: list[Option] = []
    hints, docs = typing.get_type_hints(schema), _docstrings(schema)
    for field in dataclasses.fields(schema):
        kind, is_optional = _without_none(hints[field.name])
        name = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            found += _walk(kind, prefix=f"{name}.")
        else:
            found.append(Option(name, kind, is_optional, _default(field), docs.get(field.name, "")))
    return found


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return MISSING if field.default_factory is dataclasses.MISSING else field.default_factory()


def _without_none(kind: Any) -> tuple[Any, bool]:
    if typing.get_origin(kind) not in (types.UnionType, typing.Union):
        return kind, False
    members = typing.get_args(kind)
    rest = [member for member in members if member is not types.NoneType]
    return functools.reduce(operator.or_, rest), len(rest) < len(members)


def _docstrings(schema: type) -> dict[str, str]:
    """The text below each field, by the field's name."""
    found: dict[str, str] = {}
    for owner in reversed([base for base in schema.__mro__ if dataclasses.is_dataclass(base)]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(tree, ast.ClassDef)
        for field, text in zip(tree.body, tree.body[1:], strict=False):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(doc))):
                    found[name] = inspect.cleandoc(doc)
    return found


def _type_name(kind: Any) -> str:
    if typing.get_origin(kind) is list:
        return f"[{_type_name(typing.get_args(kind)[0])}, ...]"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return " | ".join(_choices(kind))
    return "path" if kind is Path else getattr(kind, "__name__", str(kind))


def _choices(kind: type[enum.Enum]) -> list[str]:
    return [str(member.value) for member in kind]
