"""The operator's page in a real browser, beside a real run of `vla deploy` on the virtual arm."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: uv sync --group dev")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt install chromium")

WITHIN_MS = 60_000
PHONE = {"width": 390, "height": 844}
SIZES = {
    "phone": PHONE,
    "small phone": {"width": 320, "height": 568},
    "phone on its side": {"width": 844, "height": 390},
    "small phone on its side": {"width": 568, "height": 320},
    "tablet": {"width": 820, "height": 1180},
    "tablet on its side": {"width": 1180, "height": 820},
    "desk": {"width": 1440, "height": 900},
}
TOUCH_PX = 44
"""WCAG 2.2, 2.5.5 (AAA): the least width and height of what is pressed."""
CONTRAST = 4.5
"""WCAG 2.2, 1.4.3 (AA), for text."""

MEASURES = (Path(__file__).parent / "page_measures.js").read_text(encoding="utf-8")


class Run:
    """A run of the command, with a console beside it."""

    def __init__(self, out: Path, *more: str) -> None:
        self.out = out
        fixed = ["robot=virtual", "instruction=press the red button", "console=true", "console_port=0", "film=false"]
        # One process: on a machine that is busy with tests, an arm in a process of its own holds, as it should.
        fixed += ["process=false"]
        command = [sys.executable, "-m", "vla", "deploy", "policy=zero", *fixed, "seconds=600", f"out={out}", *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = self._address()

    def _address(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://\S+", line):
                return found[0]
        raise AssertionError("the console did not say where it is")

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.out / "run.json").read_text(encoding="utf-8"))

    @property
    def console(self) -> int:
        """The console's process: that child of the run's which was started as a console."""
        number = self.process.pid
        children = Path(f"/proc/{number}/task/{number}/children").read_text(encoding="utf-8").split()
        return next(int(child) for child in children if b"console" in Path(f"/proc/{child}/cmdline").read_bytes())

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("console")
    begun = Run(folder / "run", f"keep.store={folder}/store")
    yield begun
    begun.close()


@pytest.fixture
def page(browser: Any, run: Run) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    opened = context.new_page()
    opened.set_default_timeout(WITHIN_MS)
    opened.errors = []
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.on("console", lambda line: opened.errors.append(line.text) if line.type == "error" else None)
    opened.goto(run.address)
    make_it_run(opened)
    yield opened
    context.close()


def make_it_run(page: Any) -> None:
    """As an operator does, from whatever state the test before has left."""
    playwright.expect(page.locator("#link")).to_have_text("live", timeout=WITHIN_MS)
    for _ in range(WITHIN_MS // 200):
        if page.locator("#mode").inner_text() == "running":
            return
        for button in ("#release", "#acknowledge", "#back", "#resume"):
            if page.locator(button).is_visible() and page.locator(button).is_enabled():
                # The click before it may have taken effect meanwhile, and disabled this one.
                with contextlib.suppress(playwright.TimeoutError):
                    page.locator(button).click(timeout=1000)
        page.wait_for_timeout(200)
    raise AssertionError(f"the run does not go on: {page.locator('#why').inner_text()}")


def is_mode(page: Any, mode: str) -> None:
    playwright.expect(page.locator("#mode")).to_have_text(mode, timeout=WITHIN_MS)


def measured(page: Any, call: str) -> Any:
    """What a function of `page_measures.js` finds."""
    return page.evaluate(f"({MEASURES}).{call}")


def test_the_stop_button_works_while_the_run_is_wedged(page: Any, run: Run) -> None:
    run.process.send_signal(signal.SIGSTOP)
    playwright.expect(page.locator("#link")).to_have_text("run silent")
    page.keyboard.press("Space")
    playwright.expect(page.locator("#stop")).to_contain_text("STOPPED")
    assert (run.out / "stop.flag").read_bytes() == b"1"
    run.process.send_signal(signal.SIGCONT)
    is_mode(page, "fault")


def test_a_phone_shows_the_stop_button_and_nothing_is_wider_than_it(browser: Any, page: Any, run: Run) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    phone = context.new_page()
    phone.set_default_timeout(WITHIN_MS)
    phone.goto(run.address)
    is_mode(phone, "running")
    assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    box = phone.locator("#stop").bounding_box()
    assert box["y"] + box["height"] <= PHONE["height"]
    assert box["width"] > 0.8 * PHONE["width"]
    # Two pages: one drives at a time.
    phone.locator("#take").tap()
    playwright.expect(phone.locator("#pads")).to_be_visible()
    playwright.expect(page.locator("#pads")).to_be_hidden()
    context.close()
    is_mode(page, "hold")


@pytest.mark.parametrize("name", SIZES)
def test_in_every_size_stop_is_in_sight_and_all_can_be_pressed(browser: Any, page: Any, run: Run, name: str) -> None:
    size = SIZES[name]
    context = browser.new_context(viewport=size, has_touch=True, is_mobile=name != "desk")
    shown = context.new_page()
    shown.set_default_timeout(WITHIN_MS)
    shown.goto(run.address)
    is_mode(shown, "running")
    shown.wait_for_function("document.querySelectorAll('#cameras img').length === 2")
    for _ in ("watching", "driving"):
        assert shown.evaluate("document.documentElement.scrollWidth") <= size["width"]
        assert measured(shown, "covered()") == []
        assert measured(shown, f"small({TOUCH_PX})") == []
        if shown.locator("#pads").is_hidden():
            assert measured(shown, "unreached()") == []
            assert measured(shown, "covered()") == [], "scrolling has moved the stop button"
            shown.locator("#take").tap()
            playwright.expect(shown.locator("#pads")).to_be_visible()
            shown.evaluate("[...document.querySelectorAll('html, section')].forEach((each) => each.scrollTo(0, 0))")
    # The pads, and the way back, are in sight at once, but on the smallest phone.
    if name != "small phone":
        for part in ("#plane", "#height", "#open", "#close", "#back-here"):
            box = shown.locator(part).bounding_box()
            assert box["y"] >= 0, part
            assert box["y"] + box["height"] <= size["height"], part
    shown.locator("#back-here").tap()
    playwright.expect(shown.locator("#pads")).to_be_hidden()
    context.close()


def test_on_a_phone_on_its_side_a_stop_shows_at_once_how_to_go_on(browser: Any, page: Any, run: Run) -> None:
    size = SIZES["phone on its side"]
    context = browser.new_context(viewport=size, has_touch=True, is_mobile=True)
    phone = context.new_page()
    phone.set_default_timeout(WITHIN_MS)
    phone.goto(run.address)
    is_mode(phone, "running")
    phone.locator("#stop").tap()
    is_mode(phone, "fault")
    playwright.expect(phone.locator("#stop")).to_contain_text("STOPPED")
    for part in ("#release", "#acknowledge"):
        playwright.expect(phone.locator(part)).to_be_in_viewport(ratio=1)
    context.close()


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_text_stands_out_in_both_schemes(browser: Any, page: Any, run: Run, scheme: str) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme=scheme)
    shown = context.new_page()
    shown.set_default_timeout(WITHIN_MS)
    shown.goto(run.address)
    is_mode(shown, "running")
    ground = shown.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert (max(ground) < 64) == (scheme == "dark")
    assert measured(shown, f"faint({CONTRAST})") == []
    context.close()


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(page: Any, run: Run) -> None:
    able = "[...document.querySelectorAll('button, input')].filter((b) => b.checkVisibility() && !b.disabled)"
    wanted = set(page.evaluate(f"{able}.map((each) => each.id || each.textContent)"))
    reached = set()
    page.locator("h1").click()
    for _ in range(40):
        page.keyboard.press("Tab")
        at = page.evaluate(
            "(({id, textContent}, {outlineStyle, outlineWidth}) => [id || textContent, outlineStyle, outlineWidth])"
            "(document.activeElement, getComputedStyle(document.activeElement))"
        )
        if at[0] in wanted:
            reached.add(at[0])
            assert at[1:] == ["solid", "3px"], at
    assert reached == wanted
    page.locator("#hold").focus()
    page.keyboard.press("Enter")
    is_mode(page, "hold")


def test_the_page_says_that_it_has_lost_the_console(page: Any, run: Run) -> None:
    expect = playwright.expect
    expect(page.locator("#lost")).to_be_hidden()
    # Its connection stays open: nothing but silence tells.
    console = run.console
    os.kill(console, signal.SIGSTOP)
    try:
        expect(page.locator("#lost")).to_contain_text("No word from the console since")
        is_mode(page, "unknown")
        expect(page.locator("#link")).to_have_text("console lost")
        expect(page.locator("#hold")).to_be_disabled()
        expect(page.locator("#stop")).to_be_enabled()
    finally:
        os.kill(console, signal.SIGCONT)
    expect(page.locator("#lost")).to_be_hidden()
    is_mode(page, "running")


def test_an_operator_watches_stops_drives_and_ends_a_run_from_the_page(page: Any, run: Run) -> None:
    expect = playwright.expect
    # Watching.
    page.wait_for_function("[...document.querySelectorAll('#cameras img')].every((image) => image.naturalWidth > 0)")
    assert page.locator("#cameras figcaption").all_inner_texts() == ["scene", "wrist"]
    assert page.locator("#joints canvas").count() == 8
    expect(page.locator("#instruction-now")).to_have_text("“press the red button”")
    # The stop button leaves a fault, which is left in three steps.
    page.locator("#stop").dispatch_event("pointerdown")
    is_mode(page, "fault")
    expect(page.locator("#fault-name")).to_have_text("the stop button was pressed")
    expect(page.locator("#acknowledge")).to_be_disabled()
    expect(page.locator("#resume")).to_be_disabled()
    page.locator("#release").click()
    page.locator("#acknowledge").click()
    is_mode(page, "configured")
    page.locator("#resume").click()
    is_mode(page, "running")
    # Taking over: the arm goes where the pad is pushed, as long as it is.
    page.locator("#take").click()
    is_mode(page, "hold")
    before = joints(run)
    box = page.locator("#plane").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.1)
    is_mode(page, "running")
    page.wait_for_timeout(600)
    page.mouse.up()
    is_mode(page, "hold")
    assert max(abs(after - first) for after, first in zip(joints(run), before, strict=True)) > 0.02
    page.locator("#back").click()
    is_mode(page, "running")
    # Words, pace, an episode, the end.
    page.locator("#instruction").fill("press the blue button")
    page.locator("#instruction").press("Enter")
    expect(page.locator("#instruction-now")).to_have_text("“press the blue button”")
    page.locator("#speed").fill("0.5")
    page.locator("#speed").dispatch_event("change")
    page.locator("#keep").click()
    expect(page.locator("#recording-told")).to_have_text("off")
    page.locator("#end").click()
    expect(page.locator("#link")).to_have_text(re.compile("run over|console lost"))
    assert run.process.wait(30) == 0
    assert run.summary["ended"] == "operator"
    assert run.summary["interventions"]["human_steps"] > 3
    assert [error for error in page.errors if "WebSocket" not in error and "ERR_CONNECTION" not in error] == []


def joints(run: Run) -> list[float]:
    """Where the arm was last commanded to."""
    lines = (run.out / "log.jsonl.partial").read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line) for line in lines if '"kind": "step"' in line and line.endswith("}")]
    return steps[-1]["command"]["positions"]


def test_the_page_is_served_without_anything_from_elsewhere(root: Path) -> None:
    folder = root / "robot_io" / "vla_robot_io" / "console"
    for path in [*folder.glob("*.html"), *folder.glob("*.js"), *folder.glob("*.css")]:
        assert not re.search(r"https?://", path.read_text(encoding="utf-8")), f"{path.name} names another site"
    assert os.path.getsize(folder / "page.js") < 32_000
