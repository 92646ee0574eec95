"""What every test stands on: one thread, software rendering, and the same Hypothesis examples each time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

from tests.access import write_certificate, write_token

if TYPE_CHECKING:
    from vla_policies.checkpoint import Checkpoint

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MUJOCO_GL", "egl")

settings.register_profile("same_every_time", derandomize=True, deadline=None, print_blob=False)
settings.load_profile("same_every_time")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hardware",
        default="",
        metavar="OVERRIDES",
        help='a real arm, as `vla deploy` is told of it: "robot=ur5e options={host: 192.168.1.10, ...}". '
        "Not safety-rated: somebody stands by with the arm's own emergency stop in hand",
    )


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def agrees() -> Callable[[str, Path], None]:
    """Compare a text with the file that froze it; `make freeze` writes the file instead."""

    def compare(text: str, path: Path) -> None:
        if os.environ.get("FREEZE"):
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date; if this is meant: make freeze"

    return compare


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Of `tests.access.TOKEN`."""
    return write_token(tmp_path / "token")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of this machine, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def small_checkpoint() -> Checkpoint:
    """An untrained model of the made-up robot, predicting all its tokens at once."""
    return _untrained("slots")


@pytest.fixture(scope="session")
def autoregressive_checkpoint() -> Checkpoint:
    """An untrained model of the made-up robot, predicting one token after the other."""
    return _untrained("autoregressive")


def _untrained(head: str) -> Checkpoint:
    import torch

    from vla.model.compact import CompactConfig
    from vla.model.vla_model import Head
    from vla.normalization import Statistics
    from vla.testing import SMALL_EMBODIMENT, make_episode
    from vla.tokens.bins import BinTokenizer
    from vla.tokens.text import TextTokenizer
    from vla_policies.checkpoint import Checkpoint, make_model

    episode = make_episode(SMALL_EMBODIMENT, steps=40, seed=0, lookahead=2)
    action_tokenizer = BinTokenizer.fit(episode.labels["lookahead"], SMALL_EMBODIMENT, vocabulary_size=9)
    text_tokenizer = TextTokenizer.train([episode.instruction], vocabulary_size=270)
    backbone = CompactConfig(width=32, layers=1, heads=2, mlp_ratio=2, channels=8, text_tokens=8)
    names = [field.name for field in SMALL_EMBODIMENT.proprioception]
    torch.manual_seed(0)
    model = make_model(SMALL_EMBODIMENT, action_tokenizer, text_tokenizer, backbone, Head(head))
    return Checkpoint(
        embodiment=SMALL_EMBODIMENT,
        statistics=Statistics.of(episode.proprioception.astype(np.float64), names).without_values(),
        action_tokenizer=action_tokenizer,
        text_tokenizer=text_tokenizer,
        backbone=backbone,
        head=Head(head),
        config={},
        step=7,
        weights=model.state_dict(),
    )
