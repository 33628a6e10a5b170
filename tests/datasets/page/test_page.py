"""A dataset's page: its numbers, its bytes, and hostile metadata."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lunar_offline_cli.app import main
from pages import FIGURES, HOSTILE, Page, dataset_of

from lunar_offline import svg
from lunar_offline.collection.collect import collect_dataset
from lunar_offline.datasets.dataset import Dataset, read_dataset
from lunar_offline.datasets.episode_statistics import EpisodeStatistics
from lunar_offline.datasets.folder import open_folder
from lunar_offline.datasets.page.page import POLICY, dataset_page, write_page
from lunar_offline.datasets.publish import METADATA_KEY
from lunar_offline.envs import registry
from lunar_offline.envs.lander import CONTINUOUS, DISCRETE, OBSERVATIONS, OUTCOMES
from lunar_offline.errors import UsageError
from lunar_offline.storage.datasets_root import datasets_root
from lunar_offline.transitions import Episode


def test_it_is_well_formed_and_names_nothing_elsewhere(dataset: Dataset) -> None:
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


def test_its_tables_hold_the_datasets_numbers(dataset: Dataset) -> None:
    rows = Page(dataset_page(dataset)).rows
    measured = EpisodeStatistics.of_episodes(dataset.episodes(), dataset.env)
    returns, lengths = measured.returns, measured.lengths
    assert rows["mean"] == [svg.number(returns.mean, 1), svg.number(lengths.mean, 1)]
    assert rows["highest"] == [svg.number(returns.max, 1), svg.number(lengths.max, 1)]
    assert {name: int(rows[name][0]) for name in OUTCOMES} == measured.outcomes
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


def test_its_provenance_names_policy_and_data(random_episodes) -> None:
    sources = [{"policy": "expert", "episodes": 5, "policy_sha256": "12" * 32}]
    metadata = {METADATA_KEY: {"recipe": {"seed": 0, "sources": sources}}}
    html = dataset_page(dataset_of(random_episodes[True], discrete=True, **metadata))
    rows = Page(html).rows
    assert rows["behavior policy"] == ["expert"]
    assert rows["sha256 of that policy"] == ["12" * 32]
    assert rows["sha256 of the data, measured"] == ["ab" * 32]
    assert "sources" not in rows
    for package in ("lo", "minari"):
        assert f"data = {package}.load_dataset(&quot;lunar-x-v0&quot;)" in html


def test_no_return_has_the_color_of_an_outcome(random_episodes) -> None:
    html = dataset_page(dataset_of(random_episodes[True], discrete=True))
    colors = {name: set(re.findall(rf"--{name}: (#\w+)", html)) for name in OUTCOMES}
    for level in range(svg.LEVELS):
        for color in re.findall(rf"--s{level}: (#\w+)", html):
            assert all(color not in found for found in colors.values())
            red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
            assert red < 1.5 * max(green, blue)  # no red, which is a crash


def test_one_episode_of_one_step_is_enough(random_episodes) -> None:
    for discrete, episodes in random_episodes.items():
        whole = episodes[0]
        short = Episode(
            whole.observations[:2],
            whole.actions[:1],
            whole.rewards[:1],
            np.array([False]),
            np.array([True]),
        )
        for only in (whole, short):
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
        dataset_of(random_episodes[True], discrete=True, licence=HOSTILE, **metadata)
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
    said = "Recorded in [LunarLander-v3](https://example.org/a_b/), see [x](javascript:alert)."
    html = dataset_page(dataset_of(random_episodes[True], discrete=True, description=said))
    assert "Recorded in LunarLander-v3, see [x](javascript:alert)." in html


def test_the_same_dataset_gives_the_same_bytes(tmp_path: Path) -> None:
    collect_dataset("lunar-x-v0", policy="random", discrete=False, episodes=3)
    out = tmp_path / "page.html"
    size = write_page(open_folder("lunar-x-v0"), out)
    first = out.read_bytes()
    assert len(first) == size
    write_page(open_folder("lunar-x-v0"), out)
    assert out.read_bytes() == first
    assert "<dt>License</dt><dd>MIT</dd>" in first.decode()
    assert read_dataset("lunar-x-v0").sha256 in first.decode()
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["page.html"]


def test_where_no_page_can_be_written(random_dataset: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    inside = datasets_root() / random_dataset / "page.html"
    for path, reason in (
        (tmp_path, "is a directory"),
        (tmp_path / "none" / "page.html", "there is no directory"),
        (Path("/dev/null"), "is not a regular file"),
        (tmp_path / "loop", "points to itself|is not a regular file"),
        (inside, "is in the folder of the dataset"),
    ):
        with pytest.raises(UsageError, match=reason):
            write_page(open_folder(random_dataset), path)
    assert not inside.exists()
    assert Path("/dev/null").is_char_device()


def test_the_page_of_another_env(foreign: Dataset) -> None:
    html, env = dataset_page(foreign), foreign.env
    page, measured = Page(html), foreign.statistics()
    assert page.open == []
    entries = env.observation_names or [f"entry {i}" for i in range(env.observation_size)]
    figures = ["returns", "lengths", "outcomes"]
    figures += [f"state-{index}" for index in range(len(entries))]
    figures += ["actions"] if env.discrete else ["action-0"]
    assert [a["id"] for tag, a in page.elements if tag == "figure"] == figures
    assert f"<dt>Environment</dt><dd>{env.env_id}</dd>" in html
    assert "other/env-v0: an offline dataset" in html
    for word in ("lander", "Lander", "leg", "engine", "crashed"):
        assert word not in html.partition("</style>")[2]

    rows = page.rows
    assert rows["mean"] == [
        svg.number(measured.returns.mean, 1),
        svg.number(measured.lengths.mean, 1),
    ]
    assert {name: int(rows[name][0]) for name in env.outcomes} == measured.outcomes
    assert set(measured.outcomes) == {"terminated", "truncated"}
    for index, name in enumerate(entries):
        values = foreign.transitions.observations[:, index].astype(np.float64)
        ends = np.quantile(values, [0.0, 0.01, 0.5, 0.99, 1.0])
        assert rows[name] == [svg.number(float(v), 2) for v in ends]
    if env.discrete:
        counts = np.bincount(foreign.transitions.actions, minlength=2)
        assert [int(rows[name][0]) for name in env.action_names] == counts.tolist()
    else:
        assert "1 continuous, scaled to \u22121 to 1: torque" in html
        drawn = html.partition('<figure id="action-0">')[2].partition("</figure>")[0]
        bars = [int(count) for count in re.findall(r": (\d+) steps</title>", drawn)]
        assert sum(bars) == measured.steps


def test_the_command_draws_the_page_of_another_env(
    foreign: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["lunar-offline", "dataset", "show", foreign.id, "--html", "page.html"]
    monkeypatch.setattr(registry, "_installed_envs", lambda: (DISCRETE, CONTINUOUS))
    for more, code in (([], 3), (["--env", foreign.env.env_id], 0), ([], 0)):
        monkeypatch.setattr(sys, "argv", [*command, *more])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == code
        assert Path("page.html").exists() == (code == 0)
    assert f"name it once to use it: --env {foreign.env.env_id}" in capsys.readouterr().err
    assert foreign.env.env_id in Path("page.html").read_text()


def test_the_page_of_another_env_says_what_is_not_stated(foreign: Dataset) -> None:
    rows = Page(dataset_page(foreign)).rows
    assert rows["episodes with a seed"] == ["6 of 6"]
    assert "reference score, low" not in rows
