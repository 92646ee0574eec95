"""`vla tokens`: what is written, which chunks are used, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import ByteLevelBPETokenizer

from vla import commands
from vla.interfaces import Episode
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla.tokens.bins import BinTokenizer, Spacing
from vla.tokens.files import TOKENIZERS, fingerprint, fit_tokenizer, load_tokenizer
from vla_datasets.store import EpisodeStore
from vla_policies.tokens_data import load_chunks

BLIND = dataclasses.replace(SMALL_EMBODIMENT, name="small_blind", cameras=())


def _episode(seed: int, *, steps: int = 12, success: bool = True) -> Episode:
    """Actions that wander."""
    episode = make_episode(BLIND, steps=steps, seed=seed, success=success)
    walk = np.random.default_rng(seed).normal(0, 0.3, (steps, BLIND.action_dim)).cumsum(axis=0)
    low, high = BLIND.action_low, BLIND.action_high
    return dataclasses.replace(episode, actions=(low + (high - low) * (np.sin(walk) + 1) / 2).astype(np.float32))


def _store(path: Path, *episodes: Episode) -> str:
    store = EpisodeStore.create(path, episodes[0].embodiment)
    for episode in episodes:
        store.append(episode)
    return str(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    episodes = [_episode(seed, success=seed != 3) for seed in range(10)]
    return _store(tmp_path_factory.mktemp("tokens") / "store", *episodes, _episode(10, steps=3))


def _fit(out: Path, *arguments: str) -> int:
    return commands.main(["tokens", "fit", "tokenizer=bins", "horizon=4", "vocabulary=33", f"out={out}", *arguments])


# --------------------------------------------------------------------------- which chunks


def test_chunks_do_not_run_over_the_end_of_their_episode(store: str) -> None:
    data = load_chunks([store], 4)
    assert data.chunks.shape == (10 * 9, 4, 5)
    assert np.array_equal(data.chunks[8], _episode(0).actions[8:])
    assert (data.num_episodes, data.episode_index[-1]) == (10, 9)


def test_failures_are_left_out_when_asked(store: str) -> None:
    assert load_chunks([store], 4, only_successes=True).num_episodes == 9


def test_labels_come_before_what_was_executed(tmp_path: Path) -> None:
    episode = make_episode(BLIND, steps=6, seed=0, lookahead=3)
    data = load_chunks([_store(tmp_path / "store", episode)], 2)
    assert np.array_equal(data.chunks, episode.labels["lookahead"][:, :2])


def test_no_episode_is_on_both_sides(store: str) -> None:
    data = load_chunks([store], 4)
    fitted_to, held_out = data.split(0.3, seed=0)
    assert (fitted_to.num_episodes, held_out.num_episodes) == (7, 3)
    assert len(fitted_to.chunks) + len(held_out.chunks) == len(data.chunks)
    ours = {chunk.tobytes() for chunk in fitted_to.chunks}
    assert not any(chunk.tobytes() in ours for chunk in held_out.chunks)


def test_another_seed_holds_other_episodes_out(store: str) -> None:
    data = load_chunks([store], 4)
    assert not np.array_equal(data.split(0.3, seed=0)[1].chunks, data.split(0.3, seed=1)[1].chunks)


def test_the_hash_stands_for_the_numbers(store: str, tmp_path: Path) -> None:
    again = _store(tmp_path / "again", *(_episode(seed) for seed in range(10)))
    fewer = _store(tmp_path / "fewer", *(_episode(seed) for seed in range(9)))
    assert load_chunks([store], 4).sha256 == load_chunks([again], 4).sha256
    assert load_chunks([store], 4).sha256 != load_chunks([fewer], 4).sha256


# --------------------------------------------------------------------------- fit


def test_the_file_holds_the_tokenizer_of_these_chunks(store: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "bins.json"
    assert _fit(out, f"data={store}") == 0
    made = fit_tokenizer("bins", load_chunks([store], 4).chunks, BLIND, 33)
    assert fingerprint(load_tokenizer(out, horizon=4)) == fingerprint(made)


def test_it_says_what_it_fitted_to(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _fit(tmp_path / "bins.json", f"data={store}")
    said = capsys.readouterr().out
    assert "bins: 33 ids, at most 20 tokens a chunk of 4 x 5, fitted to 90 chunks of 10 episodes" in said
    assert f"{tmp_path / 'bins.json'}: {fingerprint(load_tokenizer(tmp_path / 'bins.json'))[:16]}" in said


@pytest.mark.parametrize("spacing", Spacing)
def test_bins_can_be_spaced_otherwise(store: str, tmp_path: Path, spacing: Spacing) -> None:
    assert _fit(tmp_path / "bins.json", f"data={store}", f"spacing={spacing.value}") == 0
    made = load_tokenizer(tmp_path / "bins.json")
    assert isinstance(made, BinTokenizer)
    assert made.spacing is spacing


def test_a_published_processor_gives_its_tokens(store: str, tmp_path: Path) -> None:
    tree = {"scale": 10.0, "min_token": -100, "action_dim": 5, "time_horizon": 4}
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / "processor_config.json").write_text(json.dumps(tree))
    letters = ByteLevelBPETokenizer()
    letters.train_from_iterator(["".join(map(chr, range(201)))], vocab_size=400, show_progress=False)
    (tmp_path / "fast" / "tokenizer.json").write_text(letters.to_str())
    arguments = ["tokenizer=published_fast", f"processor={tmp_path / 'fast'}", f"data={store}", "horizon=4"]
    assert commands.main(["tokens", "fit", *arguments, f"out={tmp_path / 'published.json'}"]) == 0
    assert load_tokenizer(tmp_path / "published.json", horizon=4).name == "published_fast"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tokenizer=fast", "spacing=mu_law"], "spacing= is for tokenizer=bins"),
        (["tokenizer=published_fast"], "processor=<folder> goes with tokenizer=published_fast"),
        (["tokenizer=fast", "processor=folder"], "processor=<folder> goes with tokenizer=published_fast"),
    ],
)
def test_an_option_of_another_tokenizer_is_refused(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert commands.main(["tokens", "fit", *arguments, f"data={store}", f"out={tmp_path / 'a.json'}"]) == 2
    assert said in capsys.readouterr().err


def test_two_stores_are_fitted_to_together(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = _store(tmp_path / "other", _episode(20))
    assert _fit(tmp_path / "bins.json", f"data=[{store},{other}]") == 0
    assert "99 chunks of 11 episodes" in capsys.readouterr().out


def test_a_field_that_never_changes_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    still = _episode(0)
    still.actions[:, 3] = 0.125
    store = _store(tmp_path / "still", still)
    assert _fit(tmp_path / "bins.json", f"data={store}") == 2
    said = capsys.readouterr().err
    assert f"store {store}: field 'dyaw' is 0.125 in every action" in said
    assert "constant_fields=allow" in said
    assert not (tmp_path / "bins.json").exists()


def test_a_field_that_never_changes_can_be_allowed(tmp_path: Path) -> None:
    still = _episode(0)
    still.actions[:, 3] = 0.125
    store = _store(tmp_path / "still", still)
    assert _fit(tmp_path / "bins.json", f"data={store}", "constant_fields=allow") == 0
    decoded = load_tokenizer(tmp_path / "bins.json").decode([16] * 20)
    assert decoded[0, 3] == pytest.approx(0.125, abs=0.005)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tokenizer=fest"], "unknown tokenizer 'fest'; did you mean 'fast'?"),
        (["horizon=0"], "horizon is at least 1, got 0"),
        (["vocabulary=1"], "vocabulary is at least 2, got 1"),
        (["horizon=13"], "no episode has 13 actions"),
        (["data=nowhere"], "there is no episode store at nowhere"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert _fit(tmp_path / "bins.json", f"data={store}", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "bins.json").exists()


def test_labels_that_look_less_far_ahead_name_their_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = _store(tmp_path / "short", make_episode(BLIND, steps=6, seed=0, lookahead=3))
    assert _fit(tmp_path / "bins.json", f"data={store}") == 2
    assert f"store {store}: label 'lookahead' holds 3 actions a step, a chunk needs 4" in capsys.readouterr().err


def test_stores_of_two_robots_are_refused(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = _store(tmp_path / "other", make_episode(SMALL_EMBODIMENT, steps=8, seed=0))
    assert _fit(tmp_path / "bins.json", f"data=[{store},{other}]") == 2
    assert "another embodiment" in capsys.readouterr().err


# --------------------------------------------------------------------------- report


def test_the_report_has_every_tokenizer_and_is_the_same_again(store: str, tmp_path: Path) -> None:
    arguments = ["report", f"data={store}", "horizon=4", "vocabulary=256", "held_out=0.3"]
    trees = []
    for folder in ("one", "two"):
        assert commands.main(["tokens", *arguments, f"out={tmp_path / folder}"]) == 0
        trees.append(json.loads((tmp_path / folder / "tokens.json").read_text()))
        assert (tmp_path / folder / "tokens.html").is_file()
    one, two = trees
    assert set(one) == {*TOKENIZERS, "about"}
    assert all(one[name] == two[name] for name in TOKENIZERS)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("tokenizers=[bins,fest]", "unknown tokenizer 'fest'"),
        ("held_out=1.0", "held_out is a share between 0 and 1, got 1.0"),
        ("horizon=0", "horizon is at least 1"),
    ],
)
def test_a_bad_report_is_one_line_and_writes_nothing(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], argument: str, message: str
) -> None:
    assert commands.main(["tokens", "report", f"data={store}", f"out={tmp_path / 'out'}", argument]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_and_a_folder_are_not_taken_for_each_other(
    store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert _fit(tmp_path, f"data={store}") == 2
    assert f"out={tmp_path} is a folder" in capsys.readouterr().err
    assert commands.main(["tokens", "report", f"data={store}", f"out={tmp_path / 'file'}"]) == 2
    assert "is a file: name the folder to write into" in capsys.readouterr().err


def test_one_episode_cannot_be_held_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = _store(tmp_path / "one", _episode(0))
    assert commands.main(["tokens", "report", f"data={store}", "horizon=4", f"out={tmp_path / 'out'}"]) == 2
    assert f"store {store}: to hold an episode out takes two" in capsys.readouterr().err


# --------------------------------------------------------------------------- the two


def test_help_lists_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["tokens", "--help"]) == 0
    text = capsys.readouterr().out
    assert "  tokens fit " in text
    assert "  tokens report " in text


def test_another_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["tokens", "reprot"]) == 2
    assert "'reprot'; did you mean 'report'?" in capsys.readouterr().err


def test_the_configuration_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["tokens", "fit", "tokenizer=bins", "data=a", "out=b", "--show-config"]) == 0
    assert "horizon: 8" in capsys.readouterr().out
