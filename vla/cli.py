"""From a command line to a typed configuration: Hydra composes, a dataclass checks, the body runs.

    configs/vla_configs/COMMAND.yaml ─┐
    configs/vla_configs/GROUP/CHOICE.yaml ─┼─► dataclass ─► body(config) ─► exit status
    key=value on the command line ─────┘

Later ones win. The groups of a command are those in its file's `defaults` list.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import hashlib
import inspect
import json
import os
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.errors import HydraException
from omegaconf import MISSING, OmegaConf

from vla.errors import ConfigError, VlaError, unknown
from vla.options import Option, assign, options

CONFIG_MODULE = "vla_configs"
HELP_FLAGS = ("--help", "-h")
SHOW_CONFIG_FLAG = "--show-config"
READER_GONE = 141
"""The exit status that a shell gives a program which SIGPIPE ended."""
UNUSABLE = frozenset(
    {
        errno.EACCES,
        errno.EBUSY,
        errno.EDQUOT,
        errno.EEXIST,
        errno.EFBIG,
        errno.EIO,
        errno.EISDIR,
        errno.ELOOP,
        errno.EMFILE,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
        errno.ESTALE,
    }
)
"""What an operating system says of disks, folders and files, and a user can mend."""


def run[C](command: str, schema: type[C], body: Callable[[C], int | None], arguments: Sequence[str]) -> int:
    """Compose the configuration of a command, run its body, and return the exit status.

    0 is success, 2 bad input or a disk, folder or file that cannot be used (one line on stderr), 130 an interruption,
    141 a reader that stopped reading, as `head` does; other numbers are the body's own. Another exception that is not
    ours is a bug, and passes through with its traceback.

    Args:
        command: the sub-command, `eval` or `tokens fit`; its file in `configs/vla_configs/` is `tokens_fit.yaml`.
        schema: a plain dataclass, each field followed by a docstring.
        body: gets the configuration; returns the exit status, or `None` for 0.
        arguments: `key=value`, `--help` or `--show-config`.
    """
    try:
        flags = [argument for argument in arguments if argument.startswith("-")]
        overrides = [argument for argument in arguments if not argument.startswith("-")]
        _check_flags(flags)
        if any(flag in HELP_FLAGS for flag in flags):
            _show(help_text(command, schema))
            return 0
        config = compose(command, schema, overrides)
        if SHOW_CONFIG_FLAG in flags:
            _show(OmegaConf.to_yaml(OmegaConf.create(resolved(config))).rstrip())
            return 0
        return body(config) or 0
    except VlaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        _stop_writing()
        return READER_GONE
    except OSError as error:
        if error.errno not in UNUSABLE:
            raise
        print(f"error: {_told(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def compose[C](command: str, schema: type[C], overrides: Sequence[str] = ()) -> C:
    """The configuration of a command: its file, the chosen groups, then `key=value` overrides.

    Raises:
        ConfigError: naming the key or value that does not exist and the nearest that does.
    """
    groups = _groups(command)
    chosen, values = _split(overrides, groups)
    known = options(schema)
    _check_chosen(command, groups | chosen)
    config = OmegaConf.structured(schema)
    for name, value in _composed(command, chosen).items():
        assign(config, known, name, value)
    for group, choice in (groups | chosen).items():
        # A command that wants to remember its choice has a field of the group's name.
        if choice is not None and group in known:
            assign(config, known, group, choice)
    for name, value in values:
        assign(config, known, name, value)
    _check_complete(command, known, OmegaConf.missing_keys(config))
    made = OmegaConf.to_object(config)
    assert isinstance(made, schema)
    return made


def resolved(config: Any) -> dict[str, Any]:
    """A configuration as plain JSON values, to be saved beside what came of it."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def overrides_of(resolved: Mapping[str, Any], without: Sequence[str] = ()) -> list[str]:
    """A resolved configuration as `key=value` for a command line, nested keys dotted.

    Args:
        without: top-level keys to leave out.
    """
    found: list[str] = []
    for key, value in resolved.items():
        if key in without:
            continue
        if isinstance(value, Mapping):
            found += [f"{key}.{override}" for override in overrides_of(value)]
        else:
            found.append(f"{key}={json.dumps(value)}")
    return found


def config_hash(config: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits that stand for a resolved configuration."""
    canonical = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def choices(group: str) -> list[str]:
    """The choices of a configuration group: the names of the files in its folder."""
    folder = resources.files(CONFIG_MODULE) / group
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


# --------------------------------------------------------------------------- composing


def _groups(command: str) -> dict[str, str | None]:
    """The groups of a command's file and their default choice: `MISSING` if one must be chosen."""
    file = resources.files(CONFIG_MODULE) / f"{_file_name(command)}.yaml"
    if not file.is_file():
        raise ConfigError(f"there is no file '{command}' in {CONFIG_MODULE}")
    text = file.read_text(encoding="utf-8")
    document = OmegaConf.to_container(OmegaConf.create(text or "{}"))
    defaults = document.get("defaults", []) if isinstance(document, dict) else []
    return {str(group): choice for entry in defaults if isinstance(entry, dict) for group, choice in entry.items()}


def _file_name(command: str) -> str:
    return command.replace(" ", "_")


def _split(overrides: Sequence[str], groups: Mapping[str, str | None]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The overrides that choose from a group, and those that give a value."""
    chosen: dict[str, str] = {}
    values: list[tuple[str, str]] = []
    for override in overrides:
        name, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"expected key=value, got '{override}'")
        if name not in groups:
            values.append((name, value))
        elif value in choices(name):
            chosen[name] = value
        else:
            raise unknown(name, value, choices(name))
    return chosen, values


def _composed(command: str, chosen: Mapping[str, str]) -> dict[str, Any]:
    overrides = [f"{group}={choice}" for group, choice in chosen.items()]
    with initialize_config_module(CONFIG_MODULE, version_base="1.3"):
        try:
            composed = OmegaConf.to_container(hydra_compose(_file_name(command), overrides=overrides))
        except HydraException as error:
            raise ConfigError(f"configs of 'vla {command}': {' '.join(str(error).split())}") from error
    assert isinstance(composed, dict)
    return {str(name): value for name, value in composed.items()}


def _check_chosen(command: str, groups: Mapping[str, str | None]) -> None:
    for group, choice in groups.items():
        if choice == MISSING:
            raise ConfigError(f"'vla {command}' needs {group}=... (choices: {', '.join(choices(group))})")


def _check_flags(flags: Sequence[str]) -> None:
    known = (*HELP_FLAGS, SHOW_CONFIG_FLAG)
    for flag in flags:
        if flag not in known:
            name, equals, value = flag.lstrip("-").partition("=")
            if equals:
                raise ConfigError(f"expected key=value without dashes: {name}={value}, got '{flag}'")
            raise unknown("flag", flag, known)


def _check_complete(command: str, known: Mapping[str, Option], missing: set[str]) -> None:
    needed = [name for name in known if name in missing]
    if needed:
        first, others = known[needed[0]], needed[1:]
        doc = first.doc.partition("\n")[0].rstrip(".")
        meaning = f": {doc}" if doc else ""
        rest = f"; also {', '.join(others)}" if others else ""
        raise ConfigError(f"'vla {command}' needs {first.name}=<{first.type_name}>{meaning}{rest}")


def _show(text: str) -> None:
    """Print for a reader who may stop reading, as `head` does."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _stop_writing()


def _stop_writing() -> None:
    """Let what is still in the buffers of stdout go nowhere, at exit too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _told(error: OSError) -> str:
    """Which file, and what is the matter with it."""
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' -> '.join(names)}: {error.strerror}" if names else f"{error.strerror}"


def _plain(value: Any) -> Any:
    match value:
        case enum.Enum():
            return value.value
        case Path():
            return str(value)
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return resolved(value) if dataclasses.is_dataclass(value) else value


# --------------------------------------------------------------------------- help


def help_text(command: str, schema: type) -> str:
    """What a command does, and every key with its type, default and meaning."""
    usage = f"usage: vla {command} [key=value ...] [{SHOW_CONFIG_FLAG}] [--help]"
    known, groups = options(schema), _groups(command)
    keys = [_described_group(group, default, known.get(group)) for group, default in groups.items()]
    keys += [_described(option) for option in known.values() if option.name not in groups]
    return "\n".join([inspect.getdoc(schema) or "", "", usage, "", "keys", *keys])


def _described_group(group: str, default: str | None, field: Option | None) -> str:
    return _entry(group, " | ".join(choices(group)), default, field.doc if field else "")


def _described(option: Option) -> str:
    return _entry(option.name, option.type_name, option.default, option.doc)


def _entry(name: str, kind: str, default: Any, doc: str) -> str:
    value = "needed" if default == MISSING else f"default {json.dumps(_plain(default))}"
    text = textwrap.fill(" ".join(doc.split()), width=100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return f"  {name}: {kind}  ({value})" + (f"\n{text}" if text else "")
