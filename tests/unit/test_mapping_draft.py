"""A draft says what the source says, and leaves the rest to a person."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml

from vla.errors import ConfigError, DataError
from vla_datasets.exchange.mapping_draft import draft
from vla_datasets.exchange.mapping_file import parse_mapping
from vla_datasets.exchange.raw_episode import RawEpisode, SourceField


@dataclasses.dataclass
class ListReader:
    """A source in memory."""

    episodes: list[RawEpisode]
    fields: Mapping[str, SourceField]
    control_hz: float | None = 20.0
    path: Path = Path("somewhere")

    def __len__(self) -> int:
        return len(self.episodes)

    def __iter__(self) -> Iterator[RawEpisode]:
        return iter(self.episodes)


def _reader() -> ListReader:
    raw = RawEpisode(
        index=0,
        arrays={"action": np.zeros((4, 2)), "observation.state": np.full((4, 1), 90.0), "extra": np.zeros(4)},
        images={"observation.images.top": np.zeros((4, 6, 8, 3), np.uint8)},
        instruction="stack: the 'red' cup",
        task="",
        success=None,
        times_s=None,
    )
    return ListReader([raw], {"action": SourceField("float64", (2,), ("a: b", "gripper"))})


def test_a_draft_holds_what_the_source_says() -> None:
    tree = yaml.safe_load(draft(_reader()))
    assert tree["control_hz"] == 20
    assert [field["name"] for field in tree["action"]] == ["a: b", "gripper"]
    assert [field["from"] for field in tree["proprioception"]] == ["observation.state[0]"]
    assert tree["cameras"][0]["from"] == "observation.images.top"
    assert (tree["cameras"][0]["height"], tree["cameras"][0]["width"]) == (6, 8)
    assert tree["instruction"] == "instruction"


@pytest.mark.parametrize("key", ["embodiment", "action_kind", "frame", "rotation", "gripper", "task", "licence"])
def test_a_draft_does_not_guess(key: str) -> None:
    assert yaml.safe_load(draft(_reader()))[key] == "REVIEW"


def test_a_draft_shows_ranges_as_comments_only() -> None:
    line = next(line for line in draft(_reader()).splitlines() if "90 to 90" in line)
    assert line.strip().startswith("- name: REVIEW  #")


def test_a_draft_is_refused_until_it_is_reviewed() -> None:
    with pytest.raises(ConfigError, match="REVIEW is still on lines 4, 6, "):
        parse_mapping(draft(_reader()))


def test_a_reviewed_draft_is_a_mapping() -> None:
    text = draft(_reader())
    for old, new in (
        ("embodiment: REVIEW", "embodiment: two"),
        ("action_kind: REVIEW", "action_kind: absolute_joint"),
        ("frame: REVIEW", "frame: base"),
        ("rotation: REVIEW", "rotation: none"),
        ("gripper: REVIEW", "gripper: 1 is open"),
        ("name: REVIEW", "name: joint"),
        ("source_unit: REVIEW", "source_unit: deg"),
        ("unit: REVIEW", "unit: rad"),
        ("low: REVIEW", "low: -2"),
        ("high: REVIEW", "high: 2"),
        ("orientation: REVIEW", "orientation: upright"),
        ("task: REVIEW", "task: instruction"),
        ("success: REVIEW", "success: true"),
        ("limits: REVIEW", "limits: refuse"),
        ("licence: REVIEW", "licence: MIT"),
    ):
        text = text.replace(old, new)
    assert parse_mapping(text).embodiment.name == "two"


def test_a_source_without_episodes_has_no_draft() -> None:
    with pytest.raises(DataError, match="somewhere has no episodes"):
        draft(ListReader([], {}))
