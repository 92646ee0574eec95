"""A sheet of examples: a few samples of each kind with question and answer, and places drawn into the pictures."""

from __future__ import annotations

import textwrap

import cv2
import numpy as np
from jaxtyping import UInt8

from vla_datasets.web.pictures import PictureFormat, encode_picture
from vla_datasets.web.samples import WebSample, parse_locations
from vla_sim.corpus.procedural import ProceduralCorpus, sample

EXAMPLES = 3
"""Of each kind."""
COLUMNS = 6
_APART = 5
"""From example to example, in number: neighbours are often about the same picture."""
_CELL, _PICTURE, _LINE, _MARGIN = (310, 250), 190, 15, 10
"""Height and width of a cell, height of the picture in it, of a line of text, and what is left free: px."""
_LETTERS = 36
_MARK = (255, 0, 255)


def contact_sheet(corpus: ProceduralCorpus) -> bytes:
    """The sheet, as PNG."""
    cells = [_cell(example) for kind in corpus.kinds for example in _examples(corpus, kind)]
    cells += [np.full((*_CELL, 3), 255, np.uint8)] * (-len(cells) % COLUMNS)
    rows = [np.hstack(cells[begin : begin + COLUMNS]) for begin in range(0, len(cells), COLUMNS)]
    return encode_picture(np.vstack(rows), PictureFormat.PNG, 90)


def _examples(corpus: ProceduralCorpus, kind: str) -> list[WebSample]:
    return [sample(corpus.album, kind, number, corpus.templates) for number in range(0, EXAMPLES * _APART, _APART)]


def _cell(example: WebSample) -> UInt8[np.ndarray, "height width 3"]:
    cell = np.full((*_CELL, 3), 255, np.uint8)
    _write(cell, _MARGIN + 8, example.kind, (120, 120, 120))
    row = _MARGIN + _LINE
    if example.images:
        _paste(cell, row, [_marked(image, example.answer) for image in example.images])
        row += _PICTURE
    for line in textwrap.wrap(example.question, _LETTERS):
        row += _LINE
        _write(cell, row, line, (0, 0, 0))
    for line in textwrap.wrap(example.answer.replace("<loc", " <loc"), _LETTERS):
        row += _LINE
        _write(cell, row, line, (0, 90, 190))
    return cell


def _marked(image: UInt8[np.ndarray, "height width 3"], answer: str) -> UInt8[np.ndarray, "rows columns 3"]:
    """Four times as large, with the places that the answer gives."""
    scale = max(1, round(2 * _PICTURE / image.shape[0]))
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    height, width, _ = large.shape
    for place in parse_locations(answer):
        rows, columns = [int(y * height) for y in place[::2]], [int(x * width) for x in place[1::2]]
        if len(rows) == 1:
            cv2.drawMarker(large, (columns[0], rows[0]), _MARK, cv2.MARKER_CROSS, 36, 6)
        else:
            cv2.rectangle(large, (columns[0], rows[0]), (columns[1], rows[1]), _MARK, 4)
    return large


def _paste(cell: np.ndarray, top: int, images: list[np.ndarray]) -> None:
    """Side by side, as large as they fit."""
    free = (_CELL[1] - _MARGIN * (len(images) + 1)) / len(images)
    left = _MARGIN
    for image in images:
        scale = min(_PICTURE / image.shape[0], free / image.shape[1])
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        shown = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        cell[top : top + size[1], left : left + size[0]] = shown
        left += size[0] + _MARGIN


def _write(cell: np.ndarray, row: int, text: str, colour: tuple[int, int, int]) -> None:
    cv2.putText(cell, text, (_MARGIN, row), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
