"""Two reports of `vla eval`, episode by episode: which policy is better, and how sure that is.

    report a ─┐                                     ┌─► tasks, overall: rates, difference, interval, p-value
              ├─► same suite, scenes and words? ─► pairs
    report b ─┘            else: refused, by name   └─► what else differs: policy, execution, ...

A pair is one episode of each report with the same task, seed, templates and kind of instruction: the same scene and
the same words. An episode that ended in an error in either is no pair: nobody knows what it would have come to. How
many were left out is said, and what they could have changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vla.errors import ConfigError, DataError
from vla.files import read_json
from vla_sim.filming import FILMING
from vla_sim.intervals import share
from vla_sim.paired_tests import Pairs, bootstrap_difference, mcnemar

REPORT = "report.json"
MUST_AGREE = ("suite", "templates", "instruction")
"""What two evaluations have in common, or their episodes are no pairs."""
CANNOT_MATTER = (
    "out",
    "resume",
    "shard",
    "merge",
    "workers",
    "launcher",
    "ray",
    "slurm",
    "batch",
    "controls",
    "control_episodes",
    *FILMING,
)

LEVEL = 0.05
"""Of the test that names a winner."""

type Key = tuple[str, int]
"""Task and seed."""


def read_report(path: Path) -> dict[str, Any]:
    """The tree of report.json, or of the one in a folder.

    Raises:
        ConfigError: if there is no such file.
        DataError: if it is no report of an evaluation, or tells of one episode twice.
    """
    file = path / REPORT if path.is_dir() else path
    if not file.exists():
        raise ConfigError(f"there is no report {file}: `vla eval ... out={path}` writes one")
    tree = read_json(file, DataError, absent=f"{file} has gone")
    try:
        keys = [_key(episode) for episode in tree["episodes"]]
        _ = [tree["config"][name] for name in MUST_AGREE]
    except (KeyError, TypeError) as error:
        raise DataError(f"{file} is no report of `vla eval`: it lacks {error}") from None
    key, count = next(iter(Counter(keys).most_common(1)), (("", 0), 1))
    if count > 1:
        raise DataError(f"{file} tells of {_words(key)} twice")
    return dict(tree)


def compare(a: Mapping[str, Any], b: Mapping[str, Any], *, only_shared: bool = False) -> dict[str, Any]:
    """The comparison of two reports, as a JSON tree: `overall`, `tasks`, `differs_in`, `a`, `b`.

    Args:
        only_shared: whether to leave out episodes that one report alone has, instead of refusing.

    Raises:
        ConfigError: if the two are of other suites, words or scenes, naming the first difference.
    """
    require_same_evaluation(a, b)
    first, second = ({_key(episode): episode for episode in report["episodes"]} for report in (a, b))
    keys = _shared(first, second, only_shared)
    done = [key for key in keys if first[key]["error"] is None and second[key]["error"] is None]
    if not done:
        raise ConfigError("no episode was carried out in both reports: each ended in an error in a or in b")
    outcomes = {
        task: [(bool(first[key]["success"]), bool(second[key]["success"])) for key in done if key[0] == task]
        for task in dict.fromkeys(key[0] for key in done)
    }
    return {
        "suite": a["config"]["suite"],
        "overall": _line(list(outcomes.values())),
        "tasks": {task: _line([pairs]) for task, pairs in outcomes.items()},
        "left_out": {"a": len(first) - len(keys), "b": len(second) - len(keys)},
        "errors": _errors(first, second, keys, done),
        "differs_in": differences(a["config"], b["config"]),
        "a": _about(a, first, keys),
        "b": _about(b, second, keys),
    }


def require_same_evaluation(a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    """Return if two reports are of the same suite and the same kind of words.

    Raises:
        ConfigError: naming what differs.
    """
    for name in MUST_AGREE:
        one, other = a["config"][name], b["config"][name]
        if one != other:
            raise ConfigError(f"the reports are not of the same evaluation: {name} is '{one}' in a and '{other}' in b")


def differences(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str = "") -> dict[str, list[Any]]:
    """The keys of two configurations whose values differ, with both values; those that cannot matter left out."""
    found: dict[str, list[Any]] = {}
    for name in dict.fromkeys([*a, *b]):
        one, other = a.get(name), b.get(name)
        if name in CANNOT_MATTER or one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found |= differences(one, other, f"{prefix}{name}.")
        else:
            found[prefix + name] = [one, other]
    return found


def _shared(a: Mapping[Key, Mapping[str, Any]], b: Mapping[Key, Mapping[str, Any]], only_shared: bool) -> list[Key]:
    """The keys of both, in the order of a; all of them, unless told that some may be missing."""
    for one, other, names in ((a, b, "ab"), (b, a, "ba")):
        alone = next((key for key in one if key not in other), None)
        if alone is not None and not only_shared:
            raise ConfigError(
                f"seed clash: {_words(alone)} is in {names[0]} and not in {names[1]}, so the episodes are no pairs; "
                "evaluate both with the same seed, tasks and episodes, or compare with only_shared=true"
            )
    keys = [key for key in a if key in b]
    if not keys:
        raise ConfigError("seed clash: the reports have no episode in common; evaluate both with the same seed")
    for key in keys:
        one, other = a[key]["instruction"], b[key]["instruction"]
        # An episode that did not begin has no words.
        if one and other and one != other:
            raise ConfigError(
                f"seed clash: {_words(key)} was '{one}' in a and '{other}' in b: the scenes are of different versions"
            )
    return keys


def _line(strata: Sequence[Sequence[tuple[bool, bool]]]) -> dict[str, Any]:
    """The numbers of one row: of a task, or of all with the tasks as strata."""
    outcomes = [pair for stratum in strata for pair in stratum]
    pairs = Pairs.of(outcomes)
    low, high = bootstrap_difference([Pairs.of(stratum) for stratum in strata])
    return {
        "n": pairs.n,
        "a": share(a for a, _ in outcomes).to_json(),
        "b": share(b for _, b in outcomes).to_json(),
        "difference": pairs.difference,
        "low": low,
        "high": high,
        "p": mcnemar(pairs.only_a, pairs.only_b),
        "only_a": pairs.only_a,
        "only_b": pairs.only_b,
    }


def _errors(
    a: Mapping[Key, Mapping[str, Any]], b: Mapping[Key, Mapping[str, Any]], keys: Sequence[Key], done: Sequence[Key]
) -> dict[str, Any]:
    """How many pairs errors cost, the tasks that are left without any, and what the errors could have changed.

    `against_a` is the difference and p-value if every error of a was a failure and every one of b a success;
    `against_b` the other way round.
    """
    against_a = Pairs.of((_success(a[key], unknown=False), _success(b[key], unknown=True)) for key in keys)
    against_b = Pairs.of((_success(a[key], unknown=True), _success(b[key], unknown=False)) for key in keys)
    return {
        "pairs": len(keys) - len(done),
        "tasks": [task for task in dict.fromkeys(k[0] for k in keys) if all(k[0] != task for k in done)],
        "against_a": {"difference": against_a.difference, "p": mcnemar(against_a.only_a, against_a.only_b)},
        "against_b": {"difference": against_b.difference, "p": mcnemar(against_b.only_a, against_b.only_b)},
    }


def _success(episode: Mapping[str, Any], *, unknown: bool) -> bool:
    return unknown if episode["error"] is not None else bool(episode["success"])


def better(line: Mapping[str, Any]) -> str | None:
    """Which one a difference and its p-value show to be better, at the 5 % level: `a`, `b` or neither."""
    if line["p"] >= LEVEL:
        return None
    return "a" if line["difference"] > 0 else "b"


def errors_could_change(tree: Mapping[str, Any]) -> bool:
    """Whether the episodes that ended in errors could have changed who is better overall."""
    verdicts = {better(tree["errors"][side]) for side in ("against_a", "against_b")}
    return verdicts != {better(tree["overall"])}


def _about(report: Mapping[str, Any], episodes: Mapping[Key, Mapping[str, Any]], keys: Sequence[Key]) -> dict[str, Any]:
    return {
        "policy": report["config"]["policy"],
        "errors": sum(episodes[key]["error"] is not None for key in keys),
        "hashes": report.get("hashes"),
        "versions": report.get("versions"),
    }


def _key(episode: Mapping[str, Any]) -> Key:
    return str(episode["task"]), int(episode["seed"])


def _words(key: Key) -> str:
    return f"{key[0]}, seed {key[1]}"
