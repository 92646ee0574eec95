from __future__ import annotations

import re
from pathlib import Path

import pytest

from vla.errors import ConfigError
from vla_datasets.exchange.mapping_file import parse_mapping

HAND = '{from: "actions[3:6]", kind: rotation_vector, source_unit: raw, scale: 0.5}'


@pytest.fixture
def libero(root: Path) -> str:
    return (root / "docs/how-to/mappings/libero.yaml").read_text(encoding="utf-8")


def test_a_normalised_rotation_becomes_rad_by_its_scale(libero: str) -> None:
    assert parse_mapping(libero).rotations["hand"].factor == 0.5


def test_a_normalised_rotation_without_a_scale_is_refused(libero: str) -> None:
    with pytest.raises(ConfigError, match=re.escape("rotations.hand.scale is missing: 'raw' numbers become rad")):
        parse_mapping(libero.replace(HAND, HAND.replace(", scale: 0.5", "")))


def test_a_scale_goes_with_a_unit_too(libero: str) -> None:
    text = libero.replace(HAND, HAND.replace("raw", "turn").replace("0.5", "0.25"))
    assert parse_mapping(text).rotations["hand"].factor == pytest.approx(3.141592653589793 / 2)
