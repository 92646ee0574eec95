"""`vla train` refuses numbers that cannot be meant, before it reads or writes anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla.commands import main


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps=-1", "steps is at least 0, got -1"),
        ("batch_size=0", "batch_size is at least 1, got 0"),
        ("horizon=0", "horizon is at least 1, got 0"),
        ("log_every=0", "log_every is at least 1, got 0"),
        ("checkpoint_every=0", "checkpoint_every is at least 1, got 0"),
        ("keep_every=0", "keep_every is at least 1, got 0"),
        ("threads=-2", "threads is at least 0, got -2"),
        ("seed=-3", "seed is at least 0, got -3"),
        ("optimizer.learning_rate=-1", "optimizer.learning_rate is at least 0, got -1.0"),
        ("optimizer.learning_rate=nan", "optimizer.learning_rate is at least 0, got nan"),
        ("validation_share=2", "validation_share is a share, from 0 to 1, got 2.0"),
        ("web_share=-0.1", "web_share is a share, from 0 to 1, got -0.1"),
        ("device=toaster", "device=toaster cannot be used: "),
    ],
)
def test_a_number_that_cannot_be_meant_is_named_before_anything_is_written(
    override: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["train", "experiment=tabletop-small", "data=[nowhere]", override, f"out={out}"]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
