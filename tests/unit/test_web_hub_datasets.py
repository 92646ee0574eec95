from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vla.errors import ConfigError, DataError
from vla_datasets.web.hub_datasets import HubColumns, HubCorpus
from vla_datasets.web.pictures import encode_picture

datasets = pytest.importorskip("datasets")

_COLUMNS = HubColumns(answer="text", licence="CC0-1.0", scene="photo")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture = {"bytes": encode_picture(np.full((4, 6, 3), 9, np.uint8)), "path": None}
    rows = [{"image": picture, "text": f"cup {i}", "photo": i // 2, "size": i} for i in range(4)]
    rows.append({"image": None, "text": "no picture", "photo": 9, "size": 0})
    features = datasets.Features(
        image=datasets.Image(),
        text=datasets.Value("string"),
        photo=datasets.Value("int64"),
        size=datasets.Value("int64"),
    )
    table = datasets.Dataset.from_list(rows, features=features)
    table.save_to_disk(str(tmp_path / "table"))
    datasets.DatasetDict(train=table, test=table.select([1])).save_to_disk(str(tmp_path / "splits"))
    return tmp_path


def test_rows_are_samples_of_the_columns_that_are_named(folder: Path) -> None:
    corpus = HubCorpus(folder / "table", _COLUMNS)
    sample = corpus[3]
    assert (sample.question, sample.answer, sample.source, sample.scene) == (
        "caption en",
        "cup 3",
        "table:3",
        "table:1",
    )
    assert (sample.images[0] == 9).all()


def test_a_split_is_chosen_by_name(folder: Path) -> None:
    assert HubCorpus(folder / "splits", _COLUMNS, split="test")[0].answer == "cup 1"
    with pytest.raises(ConfigError, match=r"has the splits \['test', 'train'\]: choose one with split="):
        HubCorpus(folder / "splits", _COLUMNS)
    with pytest.raises(ConfigError, match="one table without splits"):
        HubCorpus(folder / "table", _COLUMNS, split="test")


def test_a_row_without_a_picture_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match="table:4: image holds no picture as bytes"):
        HubCorpus(folder / "table", _COLUMNS)[4]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (HubColumns(answer="caption", licence="CC0-1.0"), "has no column 'caption'; its columns: image, text"),
        (HubColumns(answer="text", licence="CC0-1.0", images=("size",)), "column 'size' is not of pictures"),
        (HubColumns(answer="text", licence=""), "licence= is empty"),
    ],
)
def test_columns_that_do_not_fit_are_refused(folder: Path, columns: HubColumns, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        HubCorpus(folder / "table", columns)


def test_a_column_that_is_no_text_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match="column 'size' should be a text, it is 0"):
        HubCorpus(folder / "table", HubColumns(answer="size", licence="CC0-1.0"))[0]


def test_nothing_is_fetched(folder: Path) -> None:
    with pytest.raises(ConfigError, match="set HF_HUB_OFFLINE=1: nothing is fetched"):
        HubCorpus("owner/name", _COLUMNS)


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as a dataset"):
        HubCorpus(tmp_path, _COLUMNS)
