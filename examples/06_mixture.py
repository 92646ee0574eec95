"""Robot, web and language-only data as one stream, packed into rows; stop, resume, and nothing is lost or seen twice.

Usage: python examples/06_mixture.py
"""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from vla.model.vla_model import Vocabulary
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla.tokens.bins import BinTokenizer
from vla.tokens.text import TextTokenizer
from vla_datasets.mixing.dataset import MixtureDataset
from vla_datasets.mixing.loading import LoadingConfig, MixtureLoader
from vla_datasets.mixing.sources import MixtureConfig, SourceConfig, SourceKind, open_mixture
from vla_datasets.store import EpisodeStore
from vla_datasets.web.samples import WebSample
from vla_datasets.web.shards import write_shards
from vla_policies.packed_loading import PackedLoader
from vla_policies.packing import PackingConfig
from vla_policies.sequences import SampleSequences


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        mix(make_sources(Path(folder)))


def make_sources(folder: Path) -> MixtureConfig:
    store = EpisodeStore.create(folder / "store", SMALL_EMBODIMENT)
    for seed in range(4):
        store.append(make_episode(SMALL_EMBODIMENT, 20, seed))
    grey = [np.full((16, 16, 3), shade, np.uint8) for shade in range(100)]
    pairs = [WebSample((g,), "how bright?", f"{i} of 255", "vqa", "CC0-1.0", f"grey:{i}") for i, g in enumerate(grey)]
    write_shards(pairs, folder / "web")
    sums = [json.dumps({"question": f"{i} plus one?", "answer": f"{i + 1}"}) for i in range(30)]
    (folder / "sums.jsonl").write_text("\n".join(sums), encoding="utf-8")
    sources = [
        SourceConfig("robot", SourceKind.STORE, str(folder / "store"), weight=5.0),
        SourceConfig("web", SourceKind.WEB, str(folder / "web"), weight=3.0),
        SourceConfig("sums", SourceKind.TEXT, str(folder / "sums.jsonl"), weight=2.0, licence="CC0-1.0"),
    ]
    return MixtureConfig(sources, horizon=4, seed=0)


def mix(config: MixtureConfig) -> None:
    opened = open_mixture(config)
    chunks = make_episode(SMALL_EMBODIMENT, 40, 0, lookahead=4).labels["lookahead"]
    actions = BinTokenizer.fit(chunks, SMALL_EMBODIMENT, vocabulary_size=65)
    words = TextTokenizer.train(["how bright? plus one of"], vocabulary_size=270)
    sequences = SampleSequences(words, actions, Vocabulary(270, 65), tokens_per_image=4)

    def start() -> PackedLoader:
        loader = MixtureLoader(MixtureDataset.of(opened, sequences), LoadingConfig(batch_size=8))
        return PackedLoader(loader, PackingConfig(row_tokens=128), rows=4)

    run = start()
    batches = iter(run)
    for _ in range(10):
        next(batches)
    state = json.dumps(run.state_dict())
    resumed = start()
    resumed.load_state_dict(json.loads(state))
    pairs = itertools.islice(zip(batches, resumed, strict=False), 5)
    is_equal = all(torch.equal(went_on.tokens, batch.tokens) for went_on, batch in pairs)

    for share in opened.mixture.report(json.loads(state)["loader"]["position"]):
        print(f"{share.name}: {share.realised:.1%} of the samples for {share.wanted:.1%}, {share.epochs:.2f} epochs")
    print(f"{run.counts.rows} rows of 128 tokens, {run.fill:.1%} full; after a resume the same batches: {is_equal}")


if __name__ == "__main__":
    main()
