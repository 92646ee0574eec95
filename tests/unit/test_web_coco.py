from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla.errors import DataError
from vla_datasets.web.coco import open_boxes, open_captions
from vla_datasets.web.pictures import encode_picture
from vla_datasets.web.samples import parse_locations

_LICENCES = [
    {"id": 1, "name": "Attribution-ShareAlike License", "url": "http://creativecommons.org/licenses/by-sa/2.0/"},
    {"id": 2, "name": "No known copyright restrictions", "url": "http://flickr.com/commons/usage/"},
]
_CUP, _BOWL = {"id": 5, "name": "cup"}, {"id": 6, "name": "bowl"}


def _write(folder: Path, *annotations: dict[str, Any], **changed: Any) -> Path:
    (folder / "9.png").write_bytes(encode_picture(np.full((50, 100, 3), 9, np.uint8)))
    image = {"id": 9, "file_name": "9.png", "width": 100, "height": 50, "license": 1}
    document = {
        "images": [image | changed.pop("image", {})],
        "licenses": _LICENCES,
        "categories": [_CUP, _BOWL],
        "annotations": [{"id": i, "image_id": 9} | entry for i, entry in enumerate(annotations)],
    }
    (folder / "x.json").write_text(json.dumps(document | changed))
    return folder / "x.json"


def _box(category: int, *box: float, **more: Any) -> dict[str, Any]:
    return {"category_id": category, "bbox": list(box), **more}


def test_a_caption_is_a_sample_with_its_pictures_licence(tmp_path: Path) -> None:
    corpus = open_captions(_write(tmp_path, {"caption": "A cup. "}, {"caption": "Red."}), images=tmp_path)
    first = corpus[0]
    assert (first.question, first.answer, first.kind) == ("caption en", "A cup.", "caption")
    assert (first.licence, first.source, first.scene) == ("CC-BY-SA-2.0", "coco:000000000009/0", "coco:000000000009")
    assert corpus[1].scene == first.scene


def test_a_licence_that_is_not_of_creative_commons_keeps_its_name(tmp_path: Path) -> None:
    path = _write(tmp_path, {"caption": "A cup."}, image={"license": 2})
    assert open_captions(path, images=tmp_path)[0].licence == "No known copyright restrictions"


def test_a_picture_without_a_licence_is_refused_unless_one_is_stated(tmp_path: Path) -> None:
    path = _write(tmp_path, {"caption": "A cup."}, image={"license": 3})
    with pytest.raises(DataError, match="image 9 has no licence in the file's table"):
        open_captions(path, images=tmp_path)
    assert open_captions(path, images=tmp_path, licence="CC0-1.0")[0].licence == "CC0-1.0"


def test_all_boxes_of_a_class_are_one_answer_from_top_to_bottom(tmp_path: Path) -> None:
    path = _write(tmp_path, _box(5, 10, 25, 20, 10), _box(6, 0, 0, 9, 9), _box(5, 50, 5, 50, 45))
    corpus = open_boxes(path, images=tmp_path)
    assert [corpus[i].question for i in range(len(corpus))] == ["detect cup", "detect bowl"]
    high, low = parse_locations(corpus[0].answer)
    assert high == pytest.approx((0.1, 0.5, 1.0, 1.0), abs=1 / 1024)
    assert low == pytest.approx((0.5, 0.1, 0.7, 0.3), abs=1 / 1024)
    assert corpus[0].answer.count(" cup") == 2


def test_a_class_with_a_crowd_is_left_out_of_its_picture(tmp_path: Path) -> None:
    path = _write(tmp_path, _box(5, 1, 1, 5, 5), _box(5, 1, 1, 9, 9, iscrowd=1), _box(6, 1, 1, 5, 5))
    corpus = open_boxes(path, images=tmp_path)
    assert [corpus[i].question for i in range(len(corpus))] == ["detect bowl"]


def test_a_referring_expression_has_its_own_box(tmp_path: Path) -> None:
    path = _write(tmp_path, _box(5, 0, 0, 50, 25, said="the cup on the left"), _box(5, 50, 0, 50, 25, said="the other"))
    sample = open_boxes(path, images=tmp_path, expression="said")[0]
    assert (sample.question, len(parse_locations(sample.answer))) == ("detect the cup on the left", 1)
    assert sample.answer.endswith(" the cup on the left")


@pytest.mark.parametrize(
    ("entry", "changed", "message"),
    [
        (_box(5, 90, 0, 30, 10), {}, "annotation 0: its box .* does not lie in the picture"),
        (_box(5, 1, 2, 3), {}, "four numbers under 'bbox'"),
        (_box(5, 1, 2, 3, float("nan")), {}, "does not lie in the picture"),
        (_box(5, 9, 9, -3, 3), {}, "does not lie in the picture"),
        (_box(8, 1, 1, 2, 2), {}, "of category 8, which the file does not have"),
        (_box(5, 1, 1, 2, 2, image_id=3), {}, "of image 3, which the file does not have"),
        (_box(5, 1, 1, 2, 2), {"image": {"file_name": "../x.png"}}, "names a picture outside"),
        (_box(5, 1, 1, 2, 2), {"image": {"width": 0}}, "a width and a height in pixels"),
        (_box(5, 1, 1, 2, 2), {"categories": None}, "a list of category entries"),
        (_box(5, 1, 1, 2, 2), {"annotations": []}, "has no annotations"),
    ],
)
def test_what_is_not_as_the_format_says_is_refused(
    tmp_path: Path, entry: dict[str, Any], changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        open_boxes(_write(tmp_path, entry, **changed), images=tmp_path)


def test_a_picture_of_another_size_than_its_annotations_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, _box(5, 1, 1, 2, 2), image={"width": 200})
    with pytest.raises(DataError, match=r"9\.png is 100 x 50, its annotations are for 200 x 50"):
        open_boxes(path, images=tmp_path)[0]
