from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from vla.errors import ConfigError, DataError
from vla.model.vla_model import Vocabulary
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla.tokens.bins import BinTokenizer
from vla.tokens.text import TextTokenizer
from vla_datasets.mixing.dataset import MixedSample, MixtureDataset
from vla_datasets.mixing.loading import LoadingConfig, MixtureLoader
from vla_datasets.mixing.mixture import Draw, Mixture, SourceShare
from vla_datasets.store_frames import RobotSample
from vla_datasets.web.samples import WebSample
from vla_policies.packed_loading import PackedLoader
from vla_policies.packing import EMBEDDED, Overlong, PackedRows, PackingConfig, TokenSequence, token_sequence
from vla_policies.row_filling import MAX_DROPPED_IN_A_ROW, Entry, RowFilling
from vla_policies.sequences import SampleSequences


def prepare(sample: MixedSample[int], longest: int = 9) -> TokenSequence:
    """A sequence whose ids say which sample it is of."""
    draw = sample.draw
    length = 2 + (7 * draw.item + draw.source) % longest
    return token_sequence([1], np.full(length, draw.position), draw.source, name=str(draw))


def make(
    config: PackingConfig | None = None, rank: int = 0, ranks: int = 1, longest: int = 9, seed: int = 0
) -> PackedLoader:
    mixture = Mixture([SourceShare("web", 30, 2.0), SourceShare("robot", 20, 1.0)], seed)
    dataset = MixtureDataset(
        mixture, [lambda: range(30), lambda: range(20)], functools.partial(prepare, longest=longest)
    )
    loader = MixtureLoader(dataset, LoadingConfig(batch_size=5), rank=rank, num_ranks=ranks)
    return PackedLoader(loader, config or PackingConfig(20, open_rows=3), rows=2)


def tokens(batches: list[PackedRows]) -> list[Any]:
    return [batch.tokens.tolist() for batch in batches]


@pytest.mark.parametrize("ranks", [1, 2])
def test_packed_batches_go_on_exactly_from_twenty_points(ranks: int) -> None:
    for rank in range(ranks):
        whole = tokens(list(itertools.islice(make(rank=rank, ranks=ranks), 80)))
        for stop in np.random.default_rng(rank).integers(0, 76, 20).tolist():
            first, second = make(rank=rank, ranks=ranks), make(rank=rank, ranks=ranks)
            before = tokens(list(itertools.islice(first, stop)))
            second.load_state_dict(json.loads(json.dumps(first.state_dict())))
            assert before + tokens(list(itertools.islice(second, 4))) == whole[: stop + 4]
            assert second.counts.rows >= first.counts.rows


def test_an_iterator_can_be_left_and_begun_again() -> None:
    whole, loader = tokens(list(itertools.islice(make(), 9))), make()
    assert tokens([next(iter(loader)) for _ in range(9)]) == whole


def test_every_sample_is_packed_once() -> None:
    loader = make()
    packed = list(itertools.islice(loader, 40))
    there = [int(one.tokens[-1]) for batch in packed for row in batch.sequences for one in row]
    assert len(there) == len(set(there))
    state = loader.state_dict()
    held = [k for row in (*state["open"], *state["done"], state["waiting"]) for k in row]
    assert sorted(there + held) == list(range(state["loader"]["position"]))


def test_the_fill_and_the_share_of_each_source_are_counted() -> None:
    loader = make()
    batches = list(itertools.islice(loader, 60))
    assert loader.fill == pytest.approx(np.mean([batch.fill for batch in batches]), abs=0.02)
    assert loader.counts.samples[0] / loader.counts.samples[1] == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: make(PackingConfig(21, open_rows=3)), "row_tokens 20 against 21"),
        (lambda: make(PackingConfig(20, open_rows=2)), "open_rows 3 against 2"),
        (lambda: make(PackingConfig(20, 3, Overlong.DROP)), "overlong refuse against drop"),
        (lambda: make(rank=1, ranks=2), "rank 0 against 1, num_ranks 1 against 2"),
        (lambda: make(seed=1), "the mixture to resume is another one: seed 0 against 1"),
    ],
)
def test_another_packing_is_refused_by_its_difference(other: Callable[[], PackedLoader], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        other().load_state_dict(make().state_dict())


def test_a_sample_longer_than_a_row_stops_the_run_and_is_named() -> None:
    with pytest.raises(DataError, match=r"item \d+ of source '\w+' .*position \d+\) has \d+ tokens, a row 20"):
        list(itertools.islice(make(longest=40), 80))


def test_a_sample_longer_than_a_row_is_counted_if_it_is_left_out() -> None:
    loader = make(PackingConfig(20, 3, Overlong.DROP), longest=40)
    list(itertools.islice(loader, 20))
    assert sum(loader.counts.dropped.values()) > 0


# --------------------------------------------------------------------------- samples as sequences


@pytest.fixture(scope="module")
def sequences() -> SampleSequences:
    episode = make_episode(SMALL_EMBODIMENT, steps=40, seed=0, lookahead=2)
    actions = BinTokenizer.fit(episode.labels["lookahead"], SMALL_EMBODIMENT, vocabulary_size=9)
    return SampleSequences(TextTokenizer.train(["red?"], 270), actions, Vocabulary(270, 9), tokens_per_image=4)


def draw(value: Any) -> MixedSample[Any]:
    return MixedSample(Draw(0, 1, "mixed", 0, 3), value)


def test_a_robot_sample_is_pictures_words_state_then_actions(sequences: SampleSequences) -> None:
    episode = make_episode(SMALL_EMBODIMENT, steps=4, seed=0)
    images = {name: frames[0] for name, frames in episode.images.items()}
    padding = np.array([False, True])
    value = RobotSample(images, episode.proprioception[0], episode.actions[:2], padding, "red", "", "CC0-1.0", "here")
    made = sequences(draw(value))
    words = sequences.text.encode("red")
    assert made.tokens[: made.num_prefix].tolist() == [EMBEDDED] * 8 + words + [EMBEDDED]
    assert sequences.actions.decode((made.tokens[made.num_prefix :] - 270).tolist()).shape == (2, 5)
    assert made.counts[made.num_prefix :].tolist() == [True] * 5 + [False] * 5
    assert (made.source, made.sample) == (1, value)


def test_a_web_sample_is_pictures_and_question_then_answer_and_end(sequences: SampleSequences) -> None:
    value = WebSample((np.zeros((2, 2, 3), np.uint8),), "red?", "red", "vqa", "CC0-1.0", "here")
    made = sequences(draw(value))
    words = sequences.text.encode
    assert made.tokens.tolist() == [EMBEDDED] * 4 + words("red?") + words("red") + [0]


def test_a_sample_of_another_kind_is_refused(sequences: SampleSequences) -> None:
    with pytest.raises(DataError, match="a sample is of a robot or of the web, got int"):
        sequences(draw(3))


def test_rows_move_to_a_device() -> None:
    rows = next(iter(make()))
    moved = rows.to("cpu")
    assert torch.equal(moved.tokens, rows.tokens)
    assert moved.sequences is rows.sequences


def test_a_stream_in_which_nothing_fits_is_an_error_and_not_an_endless_search() -> None:
    filling = RowFilling(PackingConfig(row_tokens=2, overlong=Overlong.DROP))
    entry = Entry(0, token_sequence([1], np.arange(2), 0, name="the sample"))
    for _ in range(MAX_DROPPED_IN_A_ROW - 1):
        assert filling.add(entry) == []
    with pytest.raises(DataError, match=r"samples in a row have more than the 2 tokens of a row"):
        filling.add(entry)
