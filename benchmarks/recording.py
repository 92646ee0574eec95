"""A control loop at 30 Hz that records two cameras of 480 x 640 px: what recording costs the loop, and what it drops.

The same loop runs with and without the recorder, in turn. Each step it takes two noisy pictures out of a ring, offers
them, and sleeps until its next period; how late it then is, and how long the offer took, are what is measured.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np

from vla.embodiment import CameraSpec
from vla.interfaces import Observation
from vla.testing import SMALL_EMBODIMENT
from vla_datasets.image_codecs import ImageCodec
from vla_datasets.recording import EpisodeHead, EpisodeWriter
from vla_datasets.store import EpisodeStore
from vla_robot_io.episode_recorder import EpisodeRecorder

HZ, SECONDS, HEIGHT, WIDTH, NOISE = 30.0, 20.0, 480, 640, 2.0
BODY = dataclasses.replace(
    SMALL_EMBODIMENT,
    control_hz=HZ,
    cameras=tuple(CameraSpec(camera.name, HEIGHT, WIDTH) for camera in SMALL_EMBODIMENT.cameras),
)


def measurements(_: str | None) -> dict[str, object]:
    """Run the loop with each codec and without, print and return."""
    ring = _ring()
    with tempfile.TemporaryDirectory() as folder:
        result: dict[str, object] = {"alone": _loop(ring, None)}
        for codec in (ImageCodec.JPEG, ImageCodec.VIDEO):
            store = EpisodeStore.create(Path(folder) / codec.value, BODY, image_codec=codec)
            result[codec.value] = _loop(ring, store)
    for name, figures in result.items():
        print(f"recording: {name}: {figures}")
    return {"settings": {"hz": HZ, "seconds": SECONDS, "px": [HEIGHT, WIDTH], "noise": NOISE}, "loops": result}


def _ring() -> list[dict[str, np.ndarray]]:
    """Pictures of a moving square on a shaded table, as a sensor sees them."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    table = np.stack([60 + rows / 8, 80 + columns / 8, 140 - rows / 8], axis=2)
    ring = []
    for index in range(24):
        frame = table.copy()
        frame[200:260, 20 * index : 20 * index + 60] = (220, 30, 20)
        noisy = frame + generator.normal(0.0, NOISE, frame.shape)
        ring.append({camera.name: np.clip(noisy, 0, 255).astype(np.uint8) for camera in BODY.cameras})
    return ring


def _loop(ring: list[dict[str, np.ndarray]], store: EpisodeStore | None) -> dict[str, float]:
    head = EpisodeHead("reach", 0, "teleoperation", "reach", "CC0-1.0")
    recorder = EpisodeRecorder(EpisodeWriter(store, head), max_waiting=32) if store is not None else None
    state, action = np.zeros(BODY.state_dim, np.float32), np.zeros(BODY.action_dim, np.float32)
    offers, lateness = [], []
    begin = time.monotonic()
    for step in range(round(HZ * SECONDS)):
        due = begin + step / HZ
        time.sleep(max(0.0, due - time.monotonic()))
        lateness.append(time.monotonic() - due)
        observation = Observation(ring[step % len(ring)], state, "", step / HZ, frozenset())
        start = time.perf_counter()
        if recorder is not None:
            recorder.offer(observation, action)
        offers.append(time.perf_counter() - start)
    figures = {
        "offer_ms_p50": _ms(offers, 50),
        "offer_ms_max": _ms(offers, 100),
        "late_ms_p99": _ms(lateness, 99),
        "late_ms_max": _ms(lateness, 100),
    }
    if recorder is None:
        return figures
    recorded = recorder.finish(success=True)
    return figures | {
        "steps": recorded.num_steps,
        "dropped": recorded.dropped,
        "most_waiting": recorded.most_waiting,
    }


def _ms(seconds: list[float], percentile: float) -> float:
    return round(1e3 * float(np.percentile(seconds, percentile)), 3)
