"""Filming, tracing and explaining change no outcome; episodes that are not filmed do not know of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from vla.errors import CheckpointError, ConfigError
from vla.interfaces import ActionChunk, EpisodeSpec, Observation, Policy
from vla.testing.fakes import INSTRUCTION, FakeEnvironment, FakePolicy
from vla_policies.checkpoint import Checkpoint
from vla_policies.chunking import ExecutionConfig, ExecutionMode
from vla_policies.decisions import ChunkTokens
from vla_policies.telling import check_telling
from vla_policies.token_policy import TokenPolicy
from vla_sim.explaining import ExplainConfig, check_explain
from vla_sim.filming import FilmConfig
from vla_sim.jobs import Job, JobRunner, Outcome

SPECS = list(enumerate(EpisodeSpec(task, 1, instruction=INSTRUCTION) for task in ("near", "far")))
FILM = FilmConfig(height=32, width=32)
EXPLAIN = ExplainConfig(episodes=6, steps=2, patches=2, orders=1)
PLAIN, LATE = ExecutionConfig(), ExecutionConfig(mode=ExecutionMode.REAL_TIME_CHUNKING, delay_s=0.1)


class FilmedFake(FakeEnvironment):
    """The fake, with a picture for people."""

    def render(self, height: int, width: int) -> np.ndarray:
        return np.zeros((height, width, 3), np.uint8)


class TellingFake(FakePolicy):
    """The fake, with one answer to every question."""

    answers_in_words = True

    def __init__(self, answer: str) -> None:
        super().__init__()
        self.answer, self.asked = answer, list[str]()

    def predict_and_tell(
        self, observations: Sequence[Observation], question: str
    ) -> tuple[list[ActionChunk], list[str]]:
        self.asked.append(question)
        return self.predict(observations), [self.answer] * len(observations)


def carried_out(make: Callable[[], Policy], job: Job) -> list[Outcome]:
    runner = JobRunner([FilmedFake(max_steps=6) for _ in range(2)], lambda name, batch_size: make())
    found = [message for message in runner.run(job, iter(SPECS)) if isinstance(message, Outcome)]
    return sorted(found, key=lambda outcome: outcome.index)


@pytest.mark.parametrize(
    ("kind", "execution"),
    [("fake", PLAIN), ("small_checkpoint", PLAIN), ("small_checkpoint", LATE), ("autoregressive_checkpoint", PLAIN)],
)
def test_what_is_recorded_changes_nothing_to_the_last_bit(
    kind: str, execution: ExecutionConfig, request: pytest.FixtureRequest
) -> None:
    def make() -> Policy:
        if kind == "fake":
            return FakePolicy()
        checkpoint: Checkpoint = request.getfixturevalue(kind)
        return TokenPolicy(checkpoint, device="cpu", batch_size=2)

    plain = carried_out(make, Job("p", execution))
    assert {outcome.result.error for outcome in plain} == {None}
    filmed = carried_out(make, Job("p", execution, FILM, EXPLAIN))
    assert [o.result.actions.tobytes() for o in plain] == [o.result.actions.tobytes() for o in filmed]
    assert [(o.result.success, o.result.steps) for o in plain] == [(o.result.success, o.result.steps) for o in filmed]
    for outcome in filmed:
        assert outcome.trace is not None
        assert outcome.trace["steps"] == outcome.result.steps
        assert 1 <= len(outcome.trace["frames"]) <= 2
        assert ("ids" in outcome.trace["chunks"][0]) == (kind != "fake")


def test_what_is_traced_is_what_was_done() -> None:
    for outcome in carried_out(FakePolicy, Job("p", ExecutionConfig(), FILM)):
        assert outcome.trace is not None
        np.testing.assert_allclose(outcome.trace["actions"], outcome.result.actions, rtol=1e-3)
        first = outcome.trace["chunks"][0]
        assert first["step"] == 0
        np.testing.assert_array_equal(first["actions"][0], outcome.trace["actions"][0])
        assert "frames" not in outcome.trace


@pytest.mark.parametrize(
    ("answer", "places"),
    [
        ("<loc0000><loc1023>", [(0.5 / 1024, 1023.5 / 1024)]),
        ("left of the cup", []),
        ("<loc0000><loc0000><loc0001><loc0001>", []),
        ("<loc0004>", []),
    ],
)
def test_a_policy_is_asked_where_it_is_explained_and_its_points_are_kept(answer: str, places: list[object]) -> None:
    asking = dataclasses.replace(EXPLAIN, question="where is it?")
    plain = carried_out(FakePolicy, Job("p", PLAIN))
    asked = carried_out(lambda: TellingFake(answer), Job("p", PLAIN, FILM, asking))
    assert [o.result.actions.tobytes() for o in plain] == [o.result.actions.tobytes() for o in asked]
    for outcome in asked:
        assert outcome.trace is not None
        for frame in outcome.trace["frames"]:
            assert (frame["question"], frame["answer"], frame["places"]) == ("where is it?", answer, places)


def test_a_policy_without_words_is_not_asked(small_checkpoint: Checkpoint) -> None:
    mute = TellingFake("")
    mute.answers_in_words = False
    for policy in (FakePolicy(), mute, TokenPolicy(small_checkpoint, device="cpu")):
        with pytest.raises(CheckpointError, match="does not answer in words"):
            check_telling(policy)


def test_a_question_needs_an_episode_to_be_asked_in() -> None:
    with pytest.raises(ConfigError, match=r"give explain\.episodes"):
        check_explain(ExplainConfig(question="where is it?"))


def test_episodes_that_are_not_filmed_are_asked_for_nothing_more(
    small_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    told = TokenPolicy.predict_with_tokens

    def spy(
        self: TokenPolicy, observations: Sequence[Observation], committed: Sequence[np.ndarray | None] | None = None
    ) -> tuple[list[ActionChunk], list[ChunkTokens]]:
        asked.append("tokens")
        return told(self, observations, committed)

    monkeypatch.setattr(TokenPolicy, "predict_with_tokens", spy)
    plain = carried_out(lambda: TokenPolicy(small_checkpoint, device="cpu"), Job("p", ExecutionConfig()))
    assert asked == []
    assert all(outcome.trace is None for outcome in plain)
    assert all(outcome.entropy is not None for outcome in plain)
    carried_out(lambda: TokenPolicy(small_checkpoint, device="cpu"), Job("p", ExecutionConfig(), FILM))
    assert asked


def test_only_what_ran_out_of_steps_timed_out() -> None:
    outcomes = carried_out(FakePolicy, Job("p", ExecutionConfig()))
    assert [outcome.timed_out for outcome in outcomes] == [not outcome.result.success for outcome in outcomes]
