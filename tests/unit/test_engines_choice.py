"""Which engine moves and draws a suite: by option, by name, and refused where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vla.errors import ConfigError
from vla.interfaces import EpisodeSpec
from vla_sim.environment import TabletopEnvironment
from vla_sim.evaluate import evaluate
from vla_sim.evaluation_plan import EvalConfig
from vla_sim.suites import staged, suite
from vla_sim.worlds.bullet_library import pybullet
from vla_sim.worlds.engines import Engine, Engines, engines_of, with_engines

BULLET = Engines(Engine.BULLET)
CHOICES = [Engines(physics, pictures) for physics in Engine for pictures in Engine]


@pytest.fixture
def no_pybullet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "pybullet", None)
    pybullet.cache_clear()
    yield
    pybullet.cache_clear()


@pytest.mark.parametrize("engines", CHOICES, ids=str)
def test_a_name_says_its_engines(engines: Engines) -> None:
    assert engines_of(with_engines("tabletop", engines)) == ("tabletop", engines)


def test_the_usual_engines_leave_a_name_as_it_is() -> None:
    assert staged("tabletop", Engines()) == "tabletop"


def test_a_staged_suite_keeps_its_own_name_and_says_what_it_depends_on() -> None:
    found = suite(staged("tabletop", BULLET))
    assert (found.name, found.packages) == ("tabletop", ("pybullet",))


@pytest.mark.parametrize("name", ["tabletop_ur5e", "perturbation", "spatial"])
def test_every_suite_at_the_table_has_both_engines(name: str) -> None:
    assert suite(staged(name, BULLET)).embodiment == suite(name).embodiment


def test_a_suite_of_others_refuses_another_engine() -> None:
    with pytest.raises(ConfigError, match=r"suite 'metaworld' has an engine of its own .*engine=bullet"):
        staged("metaworld", BULLET)


def test_an_unknown_engine_in_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown engine 'bulet'; did you mean 'bullet'"):
        suite("tabletop@bulet")


@pytest.mark.usefixtures("no_pybullet")
def test_a_missing_package_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(ConfigError, match=r"not installed \(pybullet\): uv pip install 'vla-stack\[bullet\]'"):
        suite(staged("tabletop", BULLET)).require()


@pytest.mark.usefixtures("no_pybullet")
def test_an_evaluation_without_the_package_ends_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not installed"):
        evaluate(EvalConfig(policy="scripted", engine=Engine.BULLET, episodes=1, out=tmp_path / "out"))


def test_an_evaluation_says_its_engine_and_counts_successes(tmp_path: Path) -> None:
    pytest.importorskip("pybullet")
    config = EvalConfig(
        policy="scripted",
        engine=Engine.BULLET,
        tasks=["press_button"],
        episodes=2,
        workers=1,
        videos=0,
        out=tmp_path / "out",
    )
    report = evaluate(config).report
    assert (report["suite"], report["config"]["suite"], report["config"]["engine"]) == (
        "tabletop",
        "tabletop",
        "bullet",
    )
    assert report["overall"]["success"] == 1.0
    assert report["versions"]["pybullet"]


def test_bullets_pictures_show_what_the_usual_ones_show() -> None:
    pytest.importorskip("pybullet")
    usual, other = TabletopEnvironment(), TabletopEnvironment(engines=Engines(pictures=Engine.BULLET))
    another = _picture(usual, seed=6)
    one, two = _picture(usual, seed=5), _picture(other, seed=5)
    assert not np.array_equal(one, two)
    assert _likeness(one, two) > 0.8
    assert _likeness(one, two) > _likeness(another, two) + 0.2
    assert np.array_equal(usual.world.save(), other.world.save())


def _picture(environment: TabletopEnvironment, seed: int) -> np.ndarray:
    environment.reset(EpisodeSpec("put_in_bowl", seed))
    return environment.world.render("scene", 64, 80).astype(float)


def _likeness(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.corrcoef(one.reshape(-1), two.reshape(-1))[0, 1])
