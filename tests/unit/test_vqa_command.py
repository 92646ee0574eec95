"""`vla vqa`: whom it asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla.commands import main


def test_a_shipped_policy_is_asked_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vqa", "policy=emergence-cotrained", f"data=[{tmp_path / 'nowhere'}]"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_policy_that_there_is_none_of_is_named_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vqa", "policy=emergense", "data=[nowhere]"]) == 2
    assert "emergence-cotrained" in capsys.readouterr().err
