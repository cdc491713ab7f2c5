"""A replay's report in a real browser: nothing is said in its console, nothing leaves the page, charts are drawn.

`make test-browser`. REPORT=FILE looks at that `report.json` instead of the tests' own, SCREENSHOT=FILE keeps a picture.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from replay_documents import REPORT, SCORED, TIMING

from streambg.replaying.document import TIMING_FILE, Report, Timing, decode, decode_timing
from streambg.replaying.html import POLICY, render

pytestmark = pytest.mark.browser

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
# A page beside a README: the summary, the verdict and the first charts.
WIDTH, HEIGHT = 1_000, 1_120
# What a README's reader waits for.
MAX_PICTURE_BYTES = 200_000
EVIL = "<script>window.planted = 1</script><img src=http://127.0.0.1:9/x onerror='window.planted = 2'>"

DRAWN = """() => [...document.querySelectorAll('figure')].map(figure => ({
  name: figure.id,
  width: figure.querySelector('svg').getBoundingClientRect().width,
  longest: Math.max(0, ...[...figure.querySelectorAll('path.line')].map(path => path.getTotalLength())),
  dots: figure.querySelectorAll('circle').length,
  stroke: getComputedStyle(figure.querySelector('path.line, circle')).getPropertyValue('stroke'),
}))"""


def _browser_path() -> str | None:
    """STREAMBG_TEST_BROWSER, or what Debian, Google and playwright itself install."""
    named = os.environ.get("STREAMBG_TEST_BROWSER")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import Error, sync_playwright  # noqa: PLC0415 - `make test` collects this file without it
    except ImportError:
        pytest.fail("playwright is not installed: make test-browser")
    with sync_playwright() as playwright:
        try:
            launched = playwright.chromium.launch(executable_path=_browser_path())
        except Error as error:
            pytest.fail(
                f"no Chromium starts; apt-get install chromium-headless-shell, or STREAMBG_TEST_BROWSER: {error}"
            )
        yield launched
        launched.close()


@dataclass
class Seen:
    """What a page did beside being shown."""

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def seen(browser: Any, tmp_path: Path) -> Callable[..., Any]:
    @contextmanager
    def shown(html: str, **settings: Any) -> Iterator[Seen]:
        path = tmp_path / "report.html"
        path.write_text(html, encoding="utf-8")
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, **settings)
        found = Seen(page)
        page.on("console", lambda message: found.console.append(message.text))
        page.on("pageerror", lambda error: found.console.append(str(error)))
        page.on("request", lambda request: found.requests.append(request.url))
        page.goto(path.as_uri(), wait_until="load")
        yield found
        page.close()

    return shown


def reported() -> tuple[Report, Timing | None]:
    """What REPORT names, with its timing; else the tests' own."""
    named = os.environ.get("REPORT")
    if not named:
        return REPORT, TIMING
    beside = Path(named).with_name(TIMING_FILE)
    return decode(Path(named).read_bytes()), decode_timing(beside.read_bytes()) if beside.exists() else None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_drawn_without_a_word_and_without_a_request(seen: Callable[..., Any], scheme: str) -> None:
    with seen(render(*reported()), color_scheme=scheme) as found:
        figures = found.page.evaluate(DRAWN)
        assert (
            found.page.evaluate("getComputedStyle(document.body).backgroundColor")
            == {
                "light": "rgb(255, 255, 255)",
                "dark": "rgb(13, 17, 23)",
            }[scheme]
        )
        assert found.console == []
        assert found.requests == [found.page.url], "only the page itself"
    assert len(figures) >= 4
    for figure in figures:
        assert figure["width"] > 300, figure
        assert figure["longest"] > 100 or figure["dots"] >= 3, figure


def test_text_from_outside_runs_nothing(seen: Callable[..., Any]) -> None:
    model = replace(SCORED.model, ref=f"fraud:8{EVIL}")
    example = replace(SCORED.examples[0], source=EVIL, key=EVIL, fields={EVIL: EVIL})
    report = replace(REPORT, models=(replace(SCORED, model=model, examples=(example,), reasons=((EVIL, 1),)),))
    with seen(render(report)) as found:
        assert found.page.evaluate("window.planted") is None
        assert found.page.evaluate("document.querySelectorAll('script, img').length") == 0
        assert EVIL in found.page.inner_text("#examples-1")
        assert found.console == []
        assert found.requests == [found.page.url]


def test_even_what_got_in_is_not_run(seen: Callable[..., Any]) -> None:
    """The second wall, the page's policy; and that these tests see what they look for."""
    hole = render(REPORT).replace("</main>", f"{EVIL}</main>")
    with seen(hole) as found:
        assert found.page.evaluate("window.planted") is None
        assert any("Content Security Policy" in line for line in found.console)
    with seen(hole.replace(POLICY, "")) as found:
        found.page.wait_for_function("window.planted === 2")
        assert any("127.0.0.1:9" in url for url in found.requests)


def test_a_narrow_screen_scrolls_down_only(seen: Callable[..., Any]) -> None:
    with seen(render(*reported())) as found:
        found.page.set_viewport_size({"width": 390, "height": 800})
        assert found.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_on_paper_it_is_black_on_white(seen: Callable[..., Any]) -> None:
    with seen(render(*reported()), color_scheme="dark") as found:
        found.page.emulate_media(media="print", color_scheme="dark")
        color = "getComputedStyle(document.body).{}"
        assert found.page.evaluate(color.format("backgroundColor")) == "rgb(255, 255, 255)"
        assert found.page.evaluate(color.format("color")) == "rgb(0, 0, 0)"
        assert found.page.pdf().startswith(b"%PDF")


def test_a_picture_of_it_is_small(seen: Callable[..., Any]) -> None:
    with seen(render(*reported()), color_scheme="light") as found:
        picture = found.page.screenshot()
    assert picture.startswith(b"\x89PNG")
    assert 20_000 < len(picture) < MAX_PICTURE_BYTES
    if os.environ.get("SCREENSHOT"):
        Path(os.environ["SCREENSHOT"]).write_bytes(picture)
