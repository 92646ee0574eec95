"""Numbers and pictures survive the way to another framework and back; a mapping file is a mapping or a clear error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vla.embodiment import Field
from vla.errors import ConfigError
from vla_policies.interchange.feature_mapping import NumbersFeature, mapping_from_json, named_mapping
from vla_policies.interchange.pictures import from_planes, resized, to_planes
from vla_sim.metaworld_suite import METAWORLD_SAWYER

FIELDS = tuple(Field(name, "m", -1.0, 1.0) for name in ("a", "b", "c"))
UNITS = st.floats(0.01, 100.0).flatmap(lambda size: st.sampled_from([size, -size]))
NUMBERS = arrays(np.float32, (4, 3), elements=st.floats(-1.0, 1.0, width=32))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(NUMBERS, st.permutations(["a", "b", "c"]), st.tuples(UNITS, UNITS, UNITS), st.floats(-1.0, 1.0))
def test_numbers_come_back(ours: np.ndarray, order: list[str], units: tuple[float, ...], offset: float) -> None:
    numbers = NumbersFeature("theirs", tuple(order), units, (offset, 0.0, 0.0))
    theirs = numbers.to_theirs(ours, FIELDS)
    assert theirs.dtype == np.float32
    np.testing.assert_allclose(numbers.to_ours(theirs, FIELDS), ours, atol=1e-6)


@given(arrays(np.float32, (3,), elements=st.floats(-1.0, 1.0, width=32)), st.permutations(["a", "b", "c"]))
def test_each_number_goes_to_its_field(ours: np.ndarray, order: list[str]) -> None:
    theirs = NumbersFeature("theirs", tuple(order), (1.0,) * 3, (0.0,) * 3).to_theirs(ours, FIELDS)
    assert dict(zip(order, theirs.tolist(), strict=True)) == dict(zip("abc", ours.tolist(), strict=True))


@given(arrays(np.uint8, (5, 7, 3)))
def test_a_picture_comes_back_exactly(image: np.ndarray) -> None:
    planes = to_planes(image)
    assert planes.dtype == np.float32
    assert (planes.min(), planes.max()) >= (0.0, 0.0)
    assert planes.max() <= 1.0
    assert (from_planes(planes) == image).all()
    assert resized(image, 5, 7) is image


@given(JSON)
def test_what_is_no_mapping_is_refused_in_one_line(tree: object) -> None:
    with pytest.raises(ConfigError) as caught:
        mapping_from_json(tree, "file.yaml")
    assert str(caught.value).startswith("file.yaml")


@pytest.mark.parametrize("name", ["same", "metaworld"])
def test_a_mapping_survives_its_file(name: str) -> None:
    mapping = named_mapping(name, METAWORLD_SAWYER)
    assert mapping_from_json(mapping.to_json(), "file.yaml") == mapping


@pytest.mark.parametrize("section", ["state", "action"])
@given(data=st.data())
def test_a_damaged_section_is_refused_by_its_name(section: str, data: st.DataObject) -> None:
    tree = named_mapping("metaworld", METAWORLD_SAWYER).to_json()
    key = data.draw(st.sampled_from(["feature", "fields", "units", "offsets"]))
    tree[section][key] = data.draw(JSON.filter(lambda value: not isinstance(value, str)))
    with pytest.raises(ConfigError, match=f"file.yaml: {section}"):
        mapping_from_json(tree, "file.yaml")
