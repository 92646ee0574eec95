"""Packages that not everybody installs."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla.errors import ConfigError
from vla.libraries import require_library


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_library_that_lacks_is_named_with_what_needs_it_and_the_line_that_installs_it() -> None:
    named = r"^look=now needs a package that is not installed \(vla_lacking\): uv pip install 'vla-stack\[eyes\]'$"
    with pytest.raises(ConfigError, match=named):
        require_library("vla_lacking.inner", what="look=now", extra="eyes")


def test_of_a_library_that_stands_on_one_that_lacks_the_latter_is_named(site: Path) -> None:
    (site / "vla_standing.py").write_text("import vla_lacking_below\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"not installed \(vla_lacking_below\)"):
        require_library("vla_standing", what="look=now", extra="eyes")


def test_a_library_that_is_there_and_broken_is_not_said_to_be_absent(site: Path) -> None:
    (site / "vla_broken.py").write_text("from math import no_such_name\n", encoding="utf-8")
    with pytest.raises(ImportError, match="no_such_name"):
        require_library("vla_broken", what="look=now", extra="eyes")
