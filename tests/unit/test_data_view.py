from __future__ import annotations

import re
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from vla.commands import main
from vla.testing import SMALL_EMBODIMENT, make_episode
from vla_datasets.store import EpisodeStore
from vla_datasets.upkeep.films import LEAST_HEIGHT, write_film, write_poster
from vla_datasets.upkeep.gallery import choose


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EpisodeStore:
    store = EpisodeStore.create(tmp_path_factory.mktemp("data") / "store", SMALL_EMBODIMENT)
    for seed in range(4):
        told = {"task": "push" if seed > 2 else "reach", "success": seed != 1}
        store.append(make_episode(SMALL_EMBODIMENT, 6, seed, instruction=f"<b>push & pull</b> {seed}", **told))
    return store


@pytest.fixture(scope="module")
def gallery(store: EpisodeStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gallery")
    assert main(["data", "view", f"data={store.path}", f"out={out}"]) == 0
    return out


def test_the_page_has_a_card_for_each_episode(gallery: Path) -> None:
    page = (gallery / "index.html").read_text()
    assert page.count("<article") == 4
    assert page.count("<svg") == 4 * (SMALL_EMBODIMENT.action_dim + SMALL_EMBODIMENT.state_dim)
    assert page.count('class="outcome good"') == 3


def test_words_of_an_episode_are_no_markup(gallery: Path) -> None:
    page = (gallery / "index.html").read_text()
    assert "<b>push" not in page
    assert "&lt;b&gt;push &amp; pull" in page


def test_everything_that_the_page_shows_is_beside_it(gallery: Path) -> None:
    page = (gallery / "index.html").read_text()
    shown = re.findall(r'(?:src|poster|href)="([^"]+)"', page)
    assert len(shown) == 4 * 2 * 2
    assert [name for name in shown if not (gallery / name).is_file()] == []
    assert "http" not in page


def test_every_browser_plays_the_films(gallery: Path) -> None:
    films = sorted((gallery / "films").glob("*.mp4"))
    assert len(films) == 8
    for film in films:
        content = film.read_bytes()
        assert content.index(b"moov") < content.index(b"mdat")
        with av.open(str(film)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert stream.average_rate == SMALL_EMBODIMENT.control_hz
            assert sum(1 for _ in container.decode(stream)) == 6


@pytest.mark.parametrize("shape", [(7, 5), (64, 81), (241, 33), (480, 640)])
def test_a_film_of_any_size_shows_what_was_seen(tmp_path: Path, shape: tuple[int, int]) -> None:
    images = np.zeros((3, *shape, 3), np.uint8)
    images[1] = (255, 0, 0)
    write_film(tmp_path / "a.mp4", images, 10.0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert frames[0].shape[0] >= LEAST_HEIGHT
    assert [size % 2 for size in frames[0].shape[:2]] == [0, 0]
    np.testing.assert_allclose([frame.mean(axis=(0, 1)) for frame in frames], images.mean(axis=(1, 2)), atol=6)


def test_a_poster_is_a_jpeg(tmp_path: Path) -> None:
    write_poster(tmp_path / "a.jpg", np.full((8, 8, 3), 90, np.uint8))
    assert (tmp_path / "a.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_a_few_episodes_show_every_task_and_outcome(store: EpisodeStore) -> None:
    chosen = choose(store.index(), 3)
    assert {(row.task, row.success) for row in chosen} == {("reach", True), ("reach", False), ("push", True)}
    assert choose(store.index(), 99) == store.index()


def test_episodes_are_chosen_by_task_and_by_id(store: EpisodeStore, tmp_path: Path) -> None:
    for option, shown in (("tasks=push", 1), (f"keys=[{','.join(store.keys()[:2])}]", 2), ("episodes=3", 3)):
        assert main(["data", "view", f"data={store.path}", f"out={tmp_path / option[:4]}", option]) == 0
        assert (tmp_path / option[:4] / "index.html").read_text().count("<article") == shown


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "say where to: out=FOLDER for a page, rerun=FILE.rrd for a recording"),
        (["out=x", "tasks=pusj"], "unknown task of this store: 'pusj'; did you mean 'push'?"),
        (["out=x", "keys=reach-1"], "unknown episode 'reach-1'; did you mean"),
        (["out=x", "episodes=0"], "episodes is at least 1, got 0"),
    ],
)
def test_bad_options_are_refused(
    store: EpisodeStore, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "view", f"data={store.path}", *options]) == 2
    assert told in capsys.readouterr().err


def test_rerun_that_is_not_installed_is_named(
    store: EpisodeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert main(["data", "view", f"data={store.path}", f"rerun={tmp_path / 'a.rrd'}"]) == 2
    assert "needs a package that is not installed (rerun): uv pip install 'vla-stack[rerun]'" in capsys.readouterr().err


def test_a_recording_for_rerun_is_written(store: EpisodeStore, tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    assert main(["data", "view", f"data={store.path}", f"rerun={tmp_path / 'a' / 'b.rrd'}", "episodes=1"]) == 0
    assert (tmp_path / "a" / "b.rrd").read_bytes()[:3] == b"RRF"
