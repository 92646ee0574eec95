"""The contract of a corpus of image-text samples, `vla_datasets.web.samples.WebCorpus`."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import re
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Protocol, runtime_checkable

import numpy as np

from vla.testing.promises import kept, require

_LOCATION = re.compile(r"<loc([^>]*)>")
_PROCESS_TIMEOUT_S = 60.0
_RAISED = "raised "


@runtime_checkable
class _Sample(Protocol):
    """What a sample has; the dataclass lies in a package above this one."""

    @property
    def images(self) -> tuple[np.ndarray, ...]: ...
    @property
    def question(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def licence(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def scene(self) -> str: ...
    @property
    def facts(self) -> Mapping[str, object]: ...


@runtime_checkable
class _Corpus(Protocol):
    @property
    def name(self) -> str: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> _Sample: ...


def check_corpus(corpus: _Corpus, *, trials: int = 64, seed: int = 0) -> None:
    """Return if the corpus keeps its contract.

    Each sample has a question, an answer, a kind, a licence and a source, and pictures that are uint8 RGB; facts are
    JSON values; location words are of the 1024; a sample is the same whatever was read before, in whichever thread or
    forked process; and none lies beyond the last.

    Args:
        trials: how many samples are read; all if there are fewer.

    Raises:
        AssertionError: with one sentence on the promise that is broken.
    """
    require(isinstance(corpus.name, str) and corpus.name, "a corpus has a name, this one has none")
    require(len(corpus) > 0, f"'{corpus.name}' should have samples, it has none")
    chosen = np.linspace(0, len(corpus) - 1, min(trials, len(corpus))).astype(int).tolist()
    digests = {}
    for index in chosen:
        with kept(f"sample {index} of '{corpus.name}'"):
            sample = corpus[index]
        _check_sample(sample, f"sample {index} of '{corpus.name}'")
        digests[index] = _digest(sample)
    _check_order(corpus, digests, seed)
    _check_threads(corpus, digests)
    _check_processes(corpus, digests)
    for index in (len(corpus), -1):
        _check_beyond(corpus, index)


def _check_sample(sample: _Sample, what: str) -> None:
    for name in ("question", "answer", "kind", "licence", "source"):
        value = getattr(sample, name)
        require(isinstance(value, str) and value.strip(), f"{what} should state its {name}, it has {value!r}")
    require(isinstance(sample.scene, str), f"{what} should have a text for its scene, it has {sample.scene!r}")
    require(isinstance(sample.images, tuple), f"{what} has its images in a {type(sample.images).__name__}, not a tuple")
    for image in sample.images:
        typed = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size > 0
        require(typed, f"{what} has pictures of uint8 (height, width, 3), got {image.dtype} {image.shape}")
    for number in _LOCATION.findall(sample.answer + sample.question):
        known = re.fullmatch(r"\d{4}", number) and int(number) < 1024
        require(known, f"{what} has location words <loc0000> to <loc1023>, got <loc{number}>")
    try:
        json.dumps(dict(sample.facts), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{what} has facts that are JSON values: {error}") from error


def _check_order(corpus: _Corpus, digests: Mapping[int, str], seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(list(digests)).tolist()
    for index in shuffled:
        same = _digest(corpus[index]) == digests[index]
        require(same, f"sample {index} of '{corpus.name}' differs when others are read before it")


def _check_threads(corpus: _Corpus, digests: Mapping[int, str]) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda index: _digest(corpus[index]), digests))
    for index, digest in zip(digests, found, strict=True):
        require(digest == digests[index], f"sample {index} of '{corpus.name}' differs when threads read at once")


def _check_processes(corpus: _Corpus, digests: Mapping[int, str]) -> None:
    """Two processes, forked from this one as a loader's workers are, read at the same time."""
    context = multiprocessing.get_context("fork")
    readers = []
    for _ in range(2):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_report, args=(corpus, list(digests), sender), daemon=True)
        with warnings.catch_warnings():
            # Threads of other libraries are of no use to the child, which only reads.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        readers.append((process, receiver))
    for process, receiver in readers:
        came = receiver.poll(_PROCESS_TIMEOUT_S)
        found = receiver.recv_bytes().decode() if came else ""
        process.kill()
        process.join()
        raised = found.removeprefix(_RAISED) if found.startswith(_RAISED) else None
        require(raised is None, f"'{corpus.name}' cannot be read in a forked process: {raised}")
        same = found.split() == list(digests.values())
        require(same, f"'{corpus.name}' gives other samples, or none, in a forked process")


def _report(corpus: _Corpus, indices: Sequence[int], sender: Connection) -> None:
    try:
        sender.send_bytes(" ".join(_digest(corpus[index]) for index in indices).encode())
    except Exception as error:
        sender.send_bytes(f"{_RAISED}{type(error).__name__}: {error}".encode())


def _check_beyond(corpus: _Corpus, index: int) -> None:
    try:
        corpus[index]
    except IndexError:
        return
    except Exception as error:
        raise AssertionError(f"sample {index} should be an IndexError, it raised {type(error).__name__}") from error
    raise AssertionError(f"'{corpus.name}' has samples 0 to {len(corpus) - 1}; it gave one for {index}")


def _digest(sample: _Sample) -> str:
    digest = hashlib.sha256()
    texts = (sample.question, sample.answer, sample.kind, sample.licence, sample.source, sample.scene)
    digest.update(json.dumps([*texts, dict(sample.facts)], sort_keys=True).encode())
    for image in sample.images:
        digest.update(str(image.shape).encode() + image.tobytes())
    return digest.hexdigest()
