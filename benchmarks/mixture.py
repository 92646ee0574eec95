"""A plausible mixture: what its weights realise, how full its rows are, and how fast it is read and resumed.

Robot frames of two cameras (noise, kept losslessly: nothing compresses less), small web pictures, and lines of text of
widely varying length.
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from vla.model.vla_model import Vocabulary
from vla.testing import make_episode
from vla.tokens.bins import BinTokenizer
from vla.tokens.text import TextTokenizer
from vla_datasets.mixing.dataset import MixtureDataset
from vla_datasets.mixing.loading import LoadingConfig, MixtureLoader
from vla_datasets.mixing.mixture import Mixture, SourceShare
from vla_datasets.mixing.sources import MixtureConfig, OpenMixture, SourceConfig, SourceKind, open_mixture
from vla_datasets.store import EpisodeStore
from vla_datasets.web.samples import WebSample
from vla_datasets.web.shards import write_shards
from vla_policies.packed_loading import PackedLoader
from vla_policies.packing import PackingConfig
from vla_policies.sequences import SampleSequences
from vla_sim.embodiments import TABLETOP_PANDA

HORIZON, BATCH, ROW_TOKENS, ROWS = 4, 32, 512, 8


def measurements(_: str | None) -> dict[str, object]:
    """Measure, print and return."""
    with tempfile.TemporaryDirectory() as folder:
        opened = open_mixture(make_sources(Path(folder)))
        result: dict[str, object] = {
            "settings": {"batch": BATCH, "row_tokens": ROW_TOKENS, "rows": ROWS, "weights": [0.6, 0.3, 0.1]},
            "draws_per_s": draws_per_s(),
            "samples_per_s": {f"{workers} workers": samples_per_s(opened, workers) for workers in (0, 2)},
            "packed": {f"{rows} open rows": measure_packing(opened, rows) for rows in (1, 8, 32)},
        }
    for name, figures in result.items():
        print(f"mixture: {name}: {figures}")
    return result


def draws_per_s(num: int = 20_000) -> float:
    mixture = Mixture([SourceShare(f"source {i}", 10**9, 1.0 / (i + 1)) for i in range(10)], seed=0)
    positions = np.random.default_rng(0).integers(0, 10**9, num).tolist()
    start = time.perf_counter()
    for position in positions:
        mixture.draw(position)
    return num / (time.perf_counter() - start)


def samples_per_s(opened: OpenMixture, workers: int, batches: int = 40) -> float:
    """Once the workers have begun."""
    run = iter(MixtureLoader(MixtureDataset.of(opened), LoadingConfig(BATCH, workers)))
    for _ in range(4):
        next(run)
    start = time.perf_counter()
    for _ in range(batches):
        next(run)
    return batches * BATCH / (time.perf_counter() - start)


def measure_packing(opened: OpenMixture, open_rows: int, batches: int = 20) -> dict[str, float]:
    packing = PackingConfig(ROW_TOKENS, open_rows)

    def begin() -> PackedLoader:
        loader = MixtureLoader(MixtureDataset.of(opened, sequences()), LoadingConfig(BATCH, 0))
        return PackedLoader(loader, packing, ROWS)

    run, start = begin(), time.perf_counter()
    for _ in itertools.islice(run, batches):
        pass
    seconds, samples, state = time.perf_counter() - start, sum(run.counts.samples.values()), run.state_dict()
    start, resumed = time.perf_counter(), begin()
    resumed.load_state_dict(state)
    return {
        "fill": run.fill,
        "samples_a_row": samples / run.counts.rows,
        "samples_per_s": samples / seconds,
        "state_bytes": len(json.dumps(state)),
        "resumed_in_s": time.perf_counter() - start,
    }


def sequences() -> SampleSequences:
    chunks = make_episode(TABLETOP_PANDA, 60, 0, lookahead=HORIZON).labels["lookahead"]
    actions = BinTokenizer.fit(chunks, TABLETOP_PANDA, vocabulary_size=257)
    words = TextTokenizer.shipped()
    return SampleSequences(words, actions, Vocabulary(10_000, 257), tokens_per_image=16)


def make_sources(folder: Path) -> MixtureConfig:
    generator = np.random.default_rng(0)
    store = EpisodeStore.create(folder / "store", TABLETOP_PANDA)
    for seed in range(20):
        store.append(make_episode(TABLETOP_PANDA, 50, seed))
    texts = [" ".join(["block"] * length) for length in generator.geometric(1 / 30, 2000).clip(max=300).tolist()]
    grey = [np.full((64, 64, 3), shade % 256, np.uint8) for shade in range(1000)]
    pairs = [WebSample((g,), "caption en", texts[i], "caption", "CC0-1.0", f"grey:{i}") for i, g in enumerate(grey)]
    write_shards(pairs, folder / "web")
    lines = [json.dumps({"question": "go on", "answer": text}) for text in texts[1000:]]
    (folder / "text.jsonl").write_text("\n".join(lines), encoding="utf-8")
    sources = [
        SourceConfig("robot", SourceKind.STORE, str(folder / "store"), weight=0.6),
        SourceConfig("web", SourceKind.WEB, str(folder / "web"), weight=0.3),
        SourceConfig("text", SourceKind.TEXT, str(folder / "text.jsonl"), weight=0.1, licence="CC0-1.0"),
    ]
    return MixtureConfig(sources, horizon=HORIZON, seed=0)
