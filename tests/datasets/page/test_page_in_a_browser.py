"""How a browser renders a dataset's page; skipped where there is none."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import NAMES, Chromium, find
from pages import FIGURES, HOSTILE, dataset_of

from lunar_offline.datasets.dataset import Dataset
from lunar_offline.datasets.page.page import POLICY, dataset_page


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    binary = find()
    if binary is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on PATH (apt-get install chromium)")
    with Chromium(binary, tmp_path_factory.mktemp("profile")) as chromium:
        yield chromium


BOXES = """(() => Object.fromEntries([...document.querySelectorAll('figure')].map(f => {
  const box = f.querySelector('svg').getBoundingClientRect();
  const shapes = [...f.querySelectorAll('rect, path, line')].filter(
    s => { const b = s.getBoundingClientRect(); return b.width > 0 || b.height > 0; });
  return [f.id, [box.width, box.height, shapes.length]];
})))()"""


# what sticks out of the window, or out of its own card
OVERFLOWING = """[...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  const card = e.closest('figure, .card')?.getBoundingClientRect();
  const clipped = e.closest('svg svg') && !e.matches('text');
  return !clipped && box.width > 0 && (box.right > innerWidth + 0.5 || box.left < -0.5
    || (card && (box.right > card.right + 0.5 || box.left < card.left - 0.5)));
}).map(e => e.outerHTML.slice(0, 120))"""


def test_a_browser_renders_it(browser: Chromium, dataset: Dataset, tmp_path: Path) -> None:
    said = HOSTILE + " " + "long" * 100
    page = tmp_path / "page.html"
    page.write_text(
        dataset_page(
            dataset_of(dataset.episodes(), discrete=dataset.env.discrete, description=said)
        )
    )
    backgrounds = set()
    for width in (400, 1400):
        for dark in (False, True):
            browser.open(page, width=width, dark=dark)
            boxes = browser.evaluate(BOXES)
            assert list(boxes) == FIGURES
            for name, (wide, high, shapes) in boxes.items():
                assert wide > 100, name
                assert high > 20, name
                assert shapes > 0, name
            assert browser.evaluate("document.documentElement.scrollWidth") == width
            assert browser.evaluate(OVERFLOWING) == []
            assert browser.evaluate("document.scripts.length + document.images.length") == 0
            assert "<script>alert(1)</script>" in browser.evaluate("document.body.innerText")
            backgrounds.add(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
            # nothing but the file itself was asked for, and nothing was complained of
            assert browser.requests == [page.as_uri()]
            assert browser.complaints == []
    assert len(backgrounds) == 2


# the color of each outcome: of its share of the bar, and of the key beside its name
OUTCOME_COLORS = """[...document.querySelectorAll('#outcomes .key')].map(key => {
  const share = document.querySelector(`#outcomes rect.${key.classList[1]}`);
  return [getComputedStyle(key).backgroundColor, getComputedStyle(share).fill];
})"""


def test_a_browser_renders_another_env(browser: Chromium, foreign: Dataset, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(dataset_page(foreign))
    for width in (400, 1400):
        for dark in (False, True):
            browser.open(page, width=width, dark=dark)
            for name, (wide, high, shapes) in browser.evaluate(BOXES).items():
                assert wide > 100, name
                assert high > 20, name
                assert shapes > 0, name
            assert browser.evaluate("document.documentElement.scrollWidth") == width
            assert browser.evaluate(OVERFLOWING) == []
            colors = browser.evaluate(OUTCOME_COLORS)
            assert all(key == share for key, share in colors)
            assert len({key for key, _ in colors} - {"rgb(0, 0, 0)"}) == 2
            assert browser.complaints == []


def test_the_browser_test_sees_what_it_must(browser: Chromium, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    wide = '<div style="width: 900px">wide</div><img src="https://example.invalid/x.png">'
    page.write_text(policy + wide + "<script>alert(1)</script>")
    browser.open(page, width=400)
    assert browser.evaluate("document.documentElement.scrollWidth") > 400
    assert len(browser.evaluate(OVERFLOWING)) == 1
    told = json.dumps(browser.complaints)
    assert "script" in told
    assert "x.png" in told
