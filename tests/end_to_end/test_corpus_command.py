from pathlib import Path

import cv2
import numpy as np
import pytest

from vla.commands import main
from vla.testing import check_corpus
from vla_datasets.web.shards import ShardCorpus
from vla_sim.corpus.kinds import KINDS
from vla_sim.corpus.procedural import ProceduralCorpus

COMMAND = ["data", "web", "generate", "count=60", "seed=2", "samples_per_shard=20"]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("web") / "alone"
    assert main([*COMMAND, "workers=1", "check=true", f"out={out}"]) == 0
    return out


def test_shards_are_the_same_bytes_for_any_number_of_workers(generated: Path, tmp_path: Path):
    assert main([*COMMAND, "workers=2", f"out={tmp_path / 'two'}"]) == 0
    shards = sorted(path.name for path in generated.glob("*.tar"))
    assert len(shards) == 3
    for name in shards:
        assert (generated / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_is_read_is_what_was_drawn(generated: Path):
    read, drawn = ShardCorpus(generated), ProceduralCorpus([], 60, 2)
    assert len(read) == 60
    for index in (0, 17, 59):
        assert (read[index].question, read[index].answer) == (drawn[index].question, drawn[index].answer)
        assert all(map(np.array_equal, read[index].images, drawn[index].images))
        assert read[index].licence == "CC0-1.0"


def test_the_shards_keep_the_contract_of_corpora(generated: Path):
    check_corpus(ShardCorpus(generated), trials=10)


def test_a_run_that_was_stopped_goes_on(generated: Path, capsys: pytest.CaptureFixture[str]):
    shard = generated / "shard-000001.tar"
    content = shard.read_bytes()
    shard.unlink()
    assert main([*COMMAND, "workers=1", f"out={generated}"]) == 0
    assert "20 samples in" in capsys.readouterr().out
    assert shard.read_bytes() == content
    assert main([*COMMAND, "workers=1", f"out={generated}"]) == 0
    assert "nothing to draw" in capsys.readouterr().out


def test_the_card_tells_what_is_in_it(generated: Path):
    card = (generated / "CARD.md").read_text()
    assert "CC0-1.0" in card
    assert "vla data web generate count=60 seed=2" in card
    assert all(f"| {kind} | 4 |" in card for kind in KINDS)
    assert "## Concepts that only this corpus teaches" in card
    assert "- Category fruit: apple, banana, cherry." in card


def test_the_sheet_of_examples_is_a_picture(generated: Path):
    sheet = cv2.imread(str(generated / "examples.png"))
    assert sheet is not None
    assert sheet.shape[1] == 1500


def test_other_samples_are_not_added_to_a_corpus(generated: Path, capsys: pytest.CaptureFixture[str]):
    before = {path: path.read_bytes() for path in generated.iterdir()}
    assert main([*COMMAND, "seed=3", "workers=1", f"out={generated}"]) == 2
    assert "holds other samples" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in generated.iterdir()}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("kind=[captoin]", "did you mean 'caption'"),
        ("count=0", "count is at least 1"),
        ("workers=0", "workers is at least 1, got 0"),
        ("samples_per_shard=0", "samples_per_shard is at least 1, got 0"),
    ],
)
def test_bad_input_writes_nothing(option: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([*COMMAND, option, f"out={tmp_path / 'web'}"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "web").exists()


def test_a_file_is_not_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "web").write_text("")
    assert main([*COMMAND, f"out={tmp_path / 'web'}"]) == 2
    assert "is a file: name the folder" in capsys.readouterr().err
