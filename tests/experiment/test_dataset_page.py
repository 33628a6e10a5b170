"""A dataset's page: its numbers, its bytes, hostile metadata, and how a browser renders it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import NAMES, Chromium, find

from lunar_offline.data.ids import datasets_root
from lunar_offline.data.publish import METADATA_KEY
from lunar_offline.data.reader import read_dataset
from lunar_offline.envs import OBSERVATIONS, OUTCOMES, EnvInfo, lander
from lunar_offline.errors import UsageError
from lunar_offline.experiment import landing_figures, svg
from lunar_offline.experiment.card import statistics
from lunar_offline.experiment.collection import collect_dataset
from lunar_offline.experiment.dataset_page import POLICY, dataset_page, write_page
from lunar_offline.transitions import Episode, Transitions

FIGURES = ["returns", "lengths", "outcomes", "tracks", "density"]
FIGURES += [*(f"state-{index}" for index in range(8)), "actions"]
HOSTILE = "</style></p><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\ud800\x00\u202e"


@dataclass(frozen=True)
class Known:
    """A dataset whose episodes and metadata are known; the interface of OfflineDataset."""

    env: EnvInfo
    flown: list[Episode]
    metadata: dict[str, Any]
    dataset_id: str = "lunar-x-v0"
    sha256: str = "ab" * 32

    @property
    def transitions(self) -> Transitions:
        return Transitions.from_episodes(self.flown)

    @property
    def seeds(self) -> list[int | None]:
        return [episode.seed for episode in self.flown]

    def episodes(self) -> list[Episode]:
        return self.flown

    def episode_returns(self) -> np.ndarray:
        return np.array([episode.episode_return for episode in self.flown])


def dataset_of(episodes: list[Episode], *, discrete: bool, **metadata: Any) -> Any:
    return Known(lander(discrete=discrete), episodes, metadata)


@pytest.fixture(params=[True, False], ids=["discrete", "continuous"])
def dataset(request: pytest.FixtureRequest, random_episodes) -> Known:
    return dataset_of(random_episodes[request.param], discrete=request.param)


class Page(HTMLParser):
    """Names of elements, their attributes, and the text of table rows."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: dict[str, list[str]] = {}
        self._cells: list[str] | None = None
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self.open.append(tag)
        if tag == "tr":
            self._cells = []
        elif tag in ("th", "td") and self._cells is not None:
            self._cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "tr" and self._cells:
            self.rows.setdefault(self._cells[0], self._cells[1:])
            self._cells = None

    def handle_data(self, data: str) -> None:
        if self._cells:
            self._cells[-1] += data


def test_it_is_well_formed_and_names_nothing_elsewhere(dataset: Known) -> None:
    html = dataset_page(dataset)
    page = Page(html)
    assert page.open == []
    assert html.count(f'http-equiv="Content-Security-Policy" content="{POLICY}"') == 1
    assert "default-src 'none'" in POLICY
    names = {tag for tag, _ in page.elements}
    assert not names & {"script", "img", "iframe", "object", "a", "base", "form"}
    references = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "srcset", "data", "action")
        or name.startswith("on")
    ]
    assert references == ["data:,"]
    assert "url(" not in html
    assert "@import" not in html
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name in FIGURES:
        assert {name, f"{name}-t", f"{name}-d"} <= set(ids)


def test_its_tables_hold_the_datasets_numbers(dataset: Known) -> None:
    rows, measured = Page(dataset_page(dataset)).rows, statistics(dataset.episodes())
    returns, lengths = measured["returns"], measured["lengths"]
    assert rows["mean"] == [svg.number(returns["mean"], 1), svg.number(lengths["mean"], 1)]
    assert rows["highest"] == [svg.number(returns["max"], 1), svg.number(lengths["max"], 1)]
    assert {name: int(rows[name][0]) for name in OUTCOMES} == measured["outcomes"]
    y = dataset.transitions.observations[:, OBSERVATIONS.index("y")]
    assert rows["y"][0] == svg.number(float(y.min()), 2)
    assert rows["y"][4] == svg.number(float(y.max()), 2)
    actions = dataset.transitions.actions
    if dataset.env.discrete:
        names = ("nothing", "left engine", "main engine", "right engine")
        counts = [int(rows[name][0].replace(",", "")) for name in names]
        assert counts == np.bincount(actions, minlength=4).tolist()
    else:
        assert rows["left engine on"] == [f"{100 * (actions[:, 1] < -0.5).mean():.1f}%"]
        assert rows["main engine on"] == [f"{100 * (actions[:, 0] > 0).mean():.1f}%"]


def test_one_episode_of_one_step_is_enough(random_episodes) -> None:
    for discrete, episodes in random_episodes.items():
        flown = episodes[0]
        short = Episode(
            flown.observations[:2],
            flown.actions[:1],
            flown.rewards[:1],
            np.array([False]),
            np.array([True]),
        )
        for only in (flown, short):
            page = Page(dataset_page(dataset_of([only], discrete=discrete)))
            assert page.rows["standard deviation"] == ["0.0", "0.0"]
            assert sum(attributes.get("class") == "t0" for _, attributes in page.elements) >= 1


def test_what_a_dataset_says_stays_text(random_episodes) -> None:
    deep: Any = HOSTILE
    for _ in range(900):
        deep = {HOSTILE: deep}
    keys = ("algorithm_name", "author", "code_permalink", "requirements", "minari_version")
    metadata: dict[str, Any] = dict.fromkeys((*keys, "description", "ref_min_score"), HOSTILE)
    metadata[METADATA_KEY] = {
        "recipe": {"policy": deep, HOSTILE: HOSTILE, "list": [HOSTILE, deep, 1.5, None]},
        "provenance": {"versions": {HOSTILE: HOSTILE}, "long": "x" * 3_000_000},
    }
    plain = Page(dataset_page(dataset_of(random_episodes[True], discrete=True)))
    html = dataset_page(
        dataset_of(random_episodes[True], discrete=True, **metadata), licence=HOSTILE
    )
    page = Page(html)
    assert {tag for tag, _ in page.elements} == {tag for tag, _ in plain.elements}
    assert page.open == []
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 10
    assert not set("\ud800\x00\u202e") & set(html)
    assert len(html.encode()) < 1_000_000
    for wrong in (None, 3, [], {"recipe": []}, {"provenance": "x"}):
        assert "<main>" in dataset_page(
            dataset_of(random_episodes[True], discrete=True, lunar_offline=wrong, description=wrong)
        )


def test_the_words_of_a_link_are_kept(random_episodes) -> None:
    said = "Flown in [LunarLander-v3](https://example.org/a_b/), see [x](javascript:alert)."
    html = dataset_page(dataset_of(random_episodes[True], discrete=True, description=said))
    assert "Flown in LunarLander-v3, see [x](javascript:alert)." in html


def test_the_same_dataset_gives_the_same_bytes(tmp_path: Path) -> None:
    collect_dataset("lunar-x-v0", policy="random", discrete=False, episodes=3)
    out = tmp_path / "page.html"
    size = write_page("lunar-x-v0", out)
    first = out.read_bytes()
    assert len(first) == size
    write_page("lunar-x-v0", out)
    assert out.read_bytes() == first
    assert "<dt>Licence</dt><dd>MIT</dd>" in first.decode()
    assert read_dataset("lunar-x-v0").sha256 in first.decode()
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["page.html"]


def test_where_no_page_can_be_written(random_dataset: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    inside = datasets_root() / random_dataset / "page.html"
    for path, reason in (
        (tmp_path, "is a directory"),
        (tmp_path / "none" / "page.html", "there is no directory"),
        (Path("/dev/null"), "is not a regular file"),
        (tmp_path / "loop", "leads to itself|is not a regular file"),
        (inside, "in the dataset's own folder"),
    ):
        with pytest.raises(UsageError, match=reason):
            write_page(random_dataset, path)
    assert not inside.exists()
    assert Path("/dev/null").is_char_device()


def test_ticks_and_steps_are_round() -> None:
    assert svg.nice_step(10.0, 5) == 2.0
    assert svg.nice_step(11.0, 5) == 5.0
    assert svg.nice_step(0.3, 3) == pytest.approx(0.1)
    assert svg.Axis(-0.5, 0.5, parts=2).ticks() == [
        (0.0, "\u22120.5"),
        (50.0, "0.0"),
        (100.0, "0.5"),
    ]
    assert [svg.number(-0.04, 1), svg.number(-1234.5, 1), svg.number(3e9)] == [
        "0.0",
        "\u22121,234.5",
        "3.0e+09",
    ]


@pytest.mark.parametrize(
    "values",
    [
        [3.0],
        [0.1, 0.2, 0.25],
        [-1e30, 1e30],
        [1, 1, 2, 900],
        [1e30],
        [-3e38, -3e38],
        [7.0] * 50 + [7.0 + 1e-7],
    ],
)
def test_a_histogram_counts_every_value_once(values: list[float]) -> None:
    drawn = svg.histogram(np.array(values), "x", "y")
    counts = [int(c) for c in re.findall(r": (\d+) y</title>", drawn)]
    assert sum(counts) == len(values)
    assert len(counts) <= svg.BINS


def test_bars_of_whole_numbers_stand_over_them() -> None:
    drawn = svg.histogram(np.array([77, 77, 78]), "x", "y")
    assert re.findall(r"<title>([^<]+)</title>", drawn) == [
        "76.5 to 77.5: 2 y",
        "77.5 to 78.5: 1 y",
    ]


def test_a_density_draws_each_cell_with_points_once() -> None:
    x = svg.Axis(0.0, 1.0)
    xs = np.array([0.1, 0.1, 0.9, 7.0])
    drawn, most = svg.density(x, x, xs, xs, cells=(2, 2))
    assert most == 2
    # the lower left cell in the last colour, the upper right one in a paler; 7 is off the axes
    assert re.findall(r'class="d(\d)" d="([^"]+)"', drawn) == [
        ("0", "M1 0h1v1h-1z"),
        ("7", "M0 1h1v1h-1z"),
    ]


def test_a_thinned_track_keeps_its_ends_and_turns() -> None:
    hovering = np.repeat([[0.0, 0.0], [0.0, 0.5], [0.4, 0.5]], 100, axis=0)
    assert landing_figures.thin(hovering).tolist() == [
        [0.0, 0.0],
        [0.0, 0.5],
        [0.4, 0.5],
        [0.4, 0.5],
    ]


def test_tracks_are_chosen_evenly_by_return(
    monkeypatch: pytest.MonkeyPatch, random_episodes
) -> None:
    monkeypatch.setattr(landing_figures, "MOST_TRACKS", 3)
    episodes: list[Episode] = random_episodes[True]
    html = landing_figures.section(dataset_of(episodes, discrete=True))
    drawn = [int(n) for n in re.findall(r"<title>episode (\d+): return", html)]
    ranked = np.argsort([e.episode_return for e in episodes])
    # best first, the poorest on top of all
    assert drawn == ranked[[4, 2, 0]].tolist()


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


def test_a_browser_renders_it(browser: Chromium, dataset: Known, tmp_path: Path) -> None:
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
