"""Which episodes are filmed, and that a browser can play what comes out."""

from __future__ import annotations

import dataclasses
import io

import av
import numpy as np

from vla.interfaces import EpisodeSpec
from vla_policies.rollout import RolloutResult
from vla_sim.evaluate import is_same, worth_filming
from vla_sim.filming import Film, FilmConfig


def result(task: str, seed: int, *, success: bool, steps: int = 3) -> RolloutResult:
    actions = np.zeros((steps, 5), np.float32)
    return RolloutResult(0, 0, EpisodeSpec(task, seed), "do it", success, steps, actions)


RESULTS = [
    *(result("reach", seed, success=seed != 2) for seed in range(4)),
    *(result("stack", seed, success=seed < 1) for seed in range(4)),
]


def test_the_first_of_each_task_and_the_failures_are_filmed() -> None:
    assert worth_filming(RESULTS, each=1, failures=10) == [0, 2, 4, 5, 6, 7]


def test_failures_are_taken_from_the_tasks_in_turn() -> None:
    assert worth_filming(RESULTS, each=1, failures=2) == [0, 2, 4, 5]


def test_without_videos_nothing_is_filmed() -> None:
    assert worth_filming(RESULTS, each=0, failures=10) == []


def test_an_episode_that_was_repeated_is_compared_by_its_end() -> None:
    assert is_same(result("reach", 1, success=True), result("reach", 1, success=True))
    assert not is_same(result("reach", 1, success=True), result("reach", 1, success=False))
    assert not is_same(result("reach", 1, success=True, steps=3), result("reach", 1, success=True, steps=4))


def test_a_film_is_h264_that_browsers_play() -> None:
    film = Film(FilmConfig(height=64, width=80, speed=0.5), control_hz=10.0)
    for grey in range(0, 200, 20):
        film.add(np.full((64, 80, 3), grey, np.uint8))
    with av.open(io.BytesIO(film.finish()), "r") as container:
        (stream,) = container.streams.video
        context = stream.codec_context
        assert (context.name, context.pix_fmt, context.width, context.height) == ("h264", "yuv420p", 80, 64)
        assert stream.average_rate == 5
        # Ten steps, and the last of them held for 0.6 s.
        assert len(list(container.decode(video=0))) == 13


def test_a_film_shows_what_was_added() -> None:
    film = Film(FilmConfig(height=64, width=80), control_hz=10.0)
    for grey in (50, 150):
        film.add(np.full((64, 80, 3), grey, np.uint8))
    with av.open(io.BytesIO(film.finish()), "r") as container:
        means = [frame.to_ndarray(format="rgb24").mean() for frame in container.decode(video=0)]
    np.testing.assert_allclose(means[:2], [50, 150], atol=4)


def test_an_episode_that_ended_in_an_error_is_not_run_again_for_a_film() -> None:
    broken = dataclasses.replace(RESULTS[0], error="its worker process ended with status 9")
    assert worth_filming([broken, *RESULTS[1:]], each=1, failures=0) == [1, 4]
