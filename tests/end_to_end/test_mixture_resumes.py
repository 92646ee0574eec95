"""A mixture that stops at any point goes on with exactly the samples of the run that did not stop."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vla.errors import ConfigError, DataError
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.mixing.dataset import MixedSample, MixtureDataset
from vla_datasets.mixing.loading import LoadingConfig, MixtureLoader, StartMethod
from vla_datasets.mixing.sources import MixtureConfig, SourceConfig, SourceKind, open_mixture
from vla_datasets.store import EpisodeStore
from vla_datasets.web.corpora import CorpusConfig
from vla_datasets.web.samples import WebSample
from vla_datasets.web.shards import write_shards

BATCH, SAMPLES = 3, 240
MANY_WORKERS = "ignore:This DataLoader will create"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> MixtureConfig:
    folder = tmp_path_factory.mktemp("mixture")
    store = EpisodeStore.create(folder / "store", SMALL_EMBODIMENT)
    for seed in range(3):
        store.append(make_episode(SMALL_EMBODIMENT, 5 + seed, seed))
    picture = np.zeros((4, 4, 3), np.uint8)
    pairs = [WebSample((picture + i,), f"which {i}?", f"{i}", "vqa", "CC0-1.0", f"drawn:{i}") for i in range(17)]
    write_shards(pairs, folder / "web", 7)
    lines = [json.dumps({"question": f"{i} plus one?", "answer": str(i + 1)}) for i in range(11)]
    (folder / "sums.jsonl").write_text("\n".join(lines))
    return MixtureConfig(
        sources=[
            SourceConfig("robot", SourceKind.STORE, str(folder / "store"), 5.0),
            SourceConfig("web", SourceKind.WEB, str(folder / "web"), 3.0),
            SourceConfig("sums", SourceKind.TEXT, str(folder / "sums.jsonl"), 2.0, licence="CC0-1.0"),
        ],
        horizon=2,
        seed=4,
    )


@pytest.fixture(autouse=True)
def workers_without_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker would import the main script anew, which is pytest's."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)


def loader(config: MixtureConfig, workers: int = 0, rank: int = 0, ranks: int = 1, **options: Any) -> MixtureLoader:
    loading = LoadingConfig(batch_size=BATCH, workers=workers, **options)
    return MixtureLoader(MixtureDataset.of(open_mixture(config)), loading, rank=rank, num_ranks=ranks)


def taken(loader: MixtureLoader, batches: int) -> list[MixedSample]:
    return [sample for batch in itertools.islice(loader, batches) for sample in batch]


def names(samples: list[MixedSample]) -> list[tuple[int, str, str]]:
    """Where each stands, and what its source says that it is."""
    return [(sample.draw.position, sample.draw.name, sample.value.source) for sample in samples]


@pytest.fixture(scope="module")
def whole(config: MixtureConfig) -> list[tuple[int, str, str]]:
    """The uninterrupted run of one process and one rank."""
    return names(taken(loader(config), SAMPLES // BATCH))


def check_resumes(config: MixtureConfig, whole: list[Any], workers: int, ranks: int, points: int) -> None:
    """One run that is looked at while it reads ahead, and for each of the points one that goes on from there."""
    loaders = [loader(config, workers, rank, ranks) for rank in range(ranks)]
    chosen = np.random.default_rng([workers, ranks]).integers(0, SAMPLES // (BATCH * ranks) - 2, points).tolist()
    states = [run_to(one, chosen) for one in loaders]
    for batches in chosen:
        seen = []
        for rank in range(ranks):
            resumed = loader(config, workers, rank, ranks)
            resumed.load_state_dict(json.loads(states[rank][batches]))
            seen += taken(resumed, 2)
        done = batches * BATCH * ranks
        assert sorted(names(seen)) == whole[done : done + len(seen)]


def run_to(run: MixtureLoader, points: list[int]) -> dict[int, str]:
    """The state at each point, taken while the run goes on."""
    states, batches = {0: json.dumps(run.state_dict())}, iter(run)
    for point in range(1, max(points) + 1):
        next(batches)
        states[point] = json.dumps(run.state_dict())
    return states


@pytest.mark.filterwarnings(MANY_WORKERS)
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("workers", "points"), [(0, 20), (1, 2), (4, 2)])
def test_a_run_that_stops_goes_on_exactly(
    config: MixtureConfig, whole: list[Any], workers: int, points: int, ranks: int
) -> None:
    check_resumes(config, whole, workers, ranks, points)


@pytest.mark.slow
@pytest.mark.filterwarnings(MANY_WORKERS)
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("workers", [1, 4])
def test_twenty_runs_that_stop_go_on_exactly(config: MixtureConfig, whole: list[Any], workers: int, ranks: int) -> None:
    check_resumes(config, whole, workers, ranks, 20)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (3, 2)])
def test_another_number_of_ranks_goes_on_with_what_is_left(
    config: MixtureConfig, whole: list[Any], before: int, after: int
) -> None:
    seen, state = [], {}
    for rank in range(before):
        first = loader(config, 0, rank, before)
        seen += taken(first, 3)
        state = first.state_dict()
    for rank in range(after):
        resumed = loader(config, 0, rank, after)
        resumed.load_state_dict(state)
        seen += taken(resumed, 4)
    assert sorted(names(seen)) == whole[: len(seen)]


def test_each_rank_gets_its_share_of_each_source(config: MixtureConfig) -> None:
    config = dataclasses.replace(config, sources=[dataclasses.replace(s, weight=1.0) for s in config.sources[:2]])
    for rank in range(2):
        drawn = [sample.draw.name for sample in taken(loader(config, 0, rank, 2), 40)]
        assert 40 < drawn.count("robot") < 80


def test_spawned_workers_read_the_same(config: MixtureConfig, whole: list[Any]) -> None:
    spawned = loader(config, 1, start_method=StartMethod.SPAWN)
    assert names(taken(spawned, 3)) == whole[: 3 * BATCH]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sample_that_cannot_be_read_is_named(config: MixtureConfig, tmp_path: Path, workers: int) -> None:
    file = tmp_path / "broken.jsonl"
    file.write_text('{"question": "one?"}\n')
    source = SourceConfig("broken", SourceKind.TEXT, str(file), licence="CC0-1.0")
    run = loader(MixtureConfig([source]), workers)
    with pytest.raises(DataError, match=r"item 0 of source 'broken' \(epoch 0, position 0\): .*:1 has no answer"):
        next(iter(run))


def test_an_error_of_a_library_is_named_too(config: MixtureConfig) -> None:
    opened = open_mixture(config)
    dataset = MixtureDataset(opened.mixture, opened.openers, lambda sample: sample.value.nothing)
    with pytest.raises(DataError, match=r"item \d+ of source '\w+' \(epoch 0, position 5\): AttributeError"):
        dataset[5]


def test_a_source_that_grew_is_refused(config: MixtureConfig, tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text('{"answer": "one"}\n')
    grown = MixtureConfig([SourceConfig("sums", SourceKind.TEXT, str(file), licence="CC0-1.0")])
    state = loader(grown).state_dict()
    run = loader(grown)
    file.write_text('{"answer": "one"}\n{"answer": "two"}\n')
    with pytest.raises(ConfigError, match="length of 'sums' 1 against 2"):
        loader(grown).load_state_dict(state)
    with pytest.raises(DataError, match="it has 2 samples now, and had 1 when the mixture was made"):
        next(iter(run))


def test_a_state_ends_the_iterators_before_it(config: MixtureConfig) -> None:
    run = loader(config)
    batches, state = iter(run), run.state_dict()
    next(batches)
    run.load_state_dict(state)
    assert list(batches) == []
    assert run.position == 0


def test_reading_leaves_the_global_random_numbers_alone(config: MixtureConfig) -> None:
    before = torch.get_rng_state()
    taken(loader(config), 2)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (SourceConfig("r", SourceKind.STORE, "x", licence="MIT"), "episodes state their own licence"),
        (SourceConfig("t", SourceKind.TEXT, "x", corpus=CorpusConfig(answer="a")), "corpus= is for web sources"),
        (SourceConfig("w", SourceKind.WEB, "x", corpus=CorpusConfig(name="a")), "stand beside corpus, not in it"),
    ],
)
def test_a_field_that_would_do_nothing_is_refused(source: SourceConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_mixture(MixtureConfig([source]))
