"""A dataset as one HTML page, without scripts and external files, with reproducible bytes."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from gymnasium import spaces

from lunar_offline import html_parts, svg
from lunar_offline.datasets.dataset import Dataset, read_folder
from lunar_offline.datasets.episode_statistics import EpisodeStatistics
from lunar_offline.datasets.folder import DatasetFolder
from lunar_offline.datasets.page import sections as sections
from lunar_offline.datasets.publish import METADATA_KEY
from lunar_offline.envs.action_range import is_unit
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.errors import UsageError
from lunar_offline.storage.atomic_write import write_atomic
from lunar_offline.storage.plain_text import without_links
from lunar_offline.storage.provenance import versions

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
MOST_TEXT = 2_000  # characters shown of each text of a dataset
MOST_ROWS = 80
NOT_STATED = "not stated"


def write_page(folder: DatasetFolder, path: Path) -> int:
    """Write the page of a local dataset.

    Args:
        folder: see `open_folder`.
        path: the HTML file; an existing one is replaced.

    Returns:
        The size of the page in bytes.

    Raises:
        UsageError: the path cannot be written.
        RefusedError: see `read_folder`.
    """
    try:
        target = path.resolve()
    except RuntimeError:
        raise UsageError(f"--html {path}: a symbolic link that points to itself") from None
    if target.is_dir():
        raise UsageError(f"--html {path}: is a directory; name a file in it")
    if not target.parent.is_dir():
        raise UsageError(f"--html {path}: there is no directory {path.parent}; create it first")
    if target.exists() and not target.is_file():
        raise UsageError(f"--html {path}: is not a regular file")
    if target.is_relative_to(folder.path.resolve()):
        raise UsageError(f"--html {path}: is in the folder of the dataset, which never changes")
    content = dataset_page(read_folder(folder)).encode()
    write_atomic(target, content)
    return len(content)


def dataset_page(dataset: Dataset) -> str:
    """Return the HTML page of a dataset; equal datasets give equal pages.

    Args:
        dataset: a dataset of any env.
    """
    measured = dataset.statistics()
    body = [
        _header(dataset, measured),
        "<main>",
        sections.episodes(dataset, measured),
        _env_section(dataset),
        sections.states(dataset),
        sections.actions(dataset, measured),
        _loading(dataset.id),
        _provenance(dataset),
        f"</main><footer>Made by lunar-offline {versions()['lunar-offline']}, without running any "
        "code that the dataset names.</footer>",
    ]
    title = escape(dataset.id)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}: an offline dataset</title>
<link rel="icon" href="data:,">
<style>
{Path(__file__).with_name("page.css").read_text(encoding="utf-8")}</style>
</head>
<body>
{"".join(body)}
</body>
</html>
"""


def _env_section(dataset: Dataset) -> str:
    """Return the env's own section about the episodes; empty if the env has none."""
    draw = dataset.env.episodes_section
    return draw(dataset.episodes(), dataset.outcomes()) if draw else ""


def _text(value: Any) -> str:
    """Escape a JSON value of a dataset; replace unprintable characters, and shorten long texts."""
    text = _line(value)
    printable = "".join(c if c.isprintable() else " " for c in text[:MOST_TEXT])
    return escape(printable) + (" \u2026" if len(text) > MOST_TEXT else "")


def _range(env: EnvInfo) -> str:
    """Return the range of the drawn actions, which is that of learners."""
    space = env.action_space
    own = isinstance(space, spaces.Box) and is_unit(space)
    return "\u22121 to 1" if own else "scaled to \u22121 to 1"


def _header(dataset: Dataset, measured: EpisodeStatistics) -> str:
    metadata, env = dataset.metadata, dataset.env
    licence = (dataset.folder.manifest or {}).get("licence")
    first = next(iter(measured.outcomes))
    ended = measured.outcomes[first]
    share = svg.number(100 * ended / measured.episodes, 1)
    names = sections.action_names(env)
    space = f"{len(names)} discrete" if env.discrete else f"{len(names)} continuous, {_range(env)}"
    tiles = (
        ("Episodes", svg.number(measured.episodes), f"{svg.number(measured.steps)} steps"),
        (
            "Mean return",
            svg.number(measured.returns.mean, 1),
            f"sd {svg.number(measured.returns.sd, 1)}",
        ),
        (first.capitalize(), f"{share}%", f"{svg.number(ended)} episodes"),
        ("Median length", svg.number(measured.lengths.median), "steps"),
    )
    data = "main_data.hdf5" if dataset.folder.metadata.format == "hdf5" else "the data"
    facts = (
        ("Environment", _text(env.env_id), ""),
        ("Actions", f"{space}: {', '.join(names)}", ""),
        ("Behavior policy", _behavior_policy(metadata), ""),
        ("License", _text(licence), ""),
        (f"sha256 of {data}", f"<code>{dataset.sha256}</code>", "wide"),
    )
    return (
        '<header><p class="kind">Offline reinforcement learning dataset</p>'
        f"<h1>{escape(dataset.id)}</h1>"
        f'<p class="about">{_text(_unlinked(metadata.get("description")) or "No description.")}</p>'
        '<dl class="grid tiles">'
        + "".join(f"<div><dt>{a}</dt><dd>{b} <small>{c}</small></dd></div>" for a, b, c in tiles)
        + '</dl><dl class="facts">'
        + "".join(f'<div class="{c}"><dt>{a}</dt><dd>{b}</dd></div>' for a, b, c in facts)
        + "</dl></header>"
    )


def _unlinked(description: Any) -> str:
    """Replace Markdown links by their text: a page about untrusted data must not contain links."""
    return without_links(description[:MOST_TEXT]) if isinstance(description, str) else ""


def _behavior_policy(metadata: Mapping[str, Any]) -> str:
    ours = metadata.get(METADATA_KEY)
    recipe = ours.get("recipe") if isinstance(ours, dict) else None
    sources = recipe.get("sources") if isinstance(recipe, dict) else None
    named = [
        source.get("policy")
        for source in (sources if isinstance(sources, list) else [])
        if isinstance(source, dict)
    ]
    algorithm = metadata.get("algorithm_name")
    return ", ".join(_text(name) for name in (*named, algorithm) if name) or NOT_STATED


def _loading(dataset_id: str) -> str:
    """Return the section that shows how to load the dataset."""
    ways = (
        ("lunar_offline", f'import lunar_offline as lo\n\ndata = lo.load_dataset("{dataset_id}")'),
        ("Minari", f'import minari\n\ndata = minari.load_dataset("{dataset_id}")'),
    )
    cards = (
        f'<div class="card"><p class="note">With {name}</p>'
        f"<pre><code>{escape(code)}</code></pre></div>"
        for name, code in ways
    )
    return html_parts.section(
        "Load it", "In Python, once it is stored locally.", *cards, grid="two"
    )


def _sources(recipe: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return rows on the behavior policies of a recipe."""
    rows: list[tuple[str, Any]] = []
    sources = recipe.get("sources")
    for source in (sources if isinstance(sources, list) else [])[:MOST_ROWS]:
        if isinstance(source, dict):
            rows += [
                ("behavior policy", source.get("policy")),
                ("episodes of that policy", source.get("episodes")),
                ("sha256 of that policy", source.get("policy_sha256") or NOT_STATED),
            ]
    return rows


def _provenance(dataset: Dataset) -> str:
    metadata = dataset.metadata
    stated = [
        (name, metadata[key])
        for name, key in (
            ("author", "author"),
            ("algorithm", "algorithm_name"),
            ("code", "code_permalink"),
            ("requirements", "requirements"),
            ("Minari version", "minari_version"),
            ("reference score, low", "ref_min_score"),
            ("reference score, high", "ref_max_score"),
        )
        if metadata.get(key) is not None
    ]
    ours = metadata.get(METADATA_KEY)
    for part in ("recipe", "provenance"):
        inside = ours.get(part) if isinstance(ours, dict) else None
        if isinstance(inside, dict):
            stated += _sources(inside)
            stated += [pair for pair in list(inside.items())[:MOST_ROWS] if pair[0] != "sources"]
    stated.append(("sha256 of the data, measured", dataset.sha256))
    seeded = sum(seed is not None for seed in dataset.seeds)
    stated.append(("episodes with a seed", f"{seeded:,} of {len(dataset.seeds):,}"))
    rows = "".join(
        f'<tr><th scope="row">{_text(name)}</th><td>{_text(value)}</td></tr>'
        for name, value in stated
    )
    table = f'<div class="card"><table class="pairs"><tbody>{rows}</tbody></table></div>'
    return html_parts.section("Provenance", "As stated by the dataset; not checked.", table)


def _line(value: Any) -> str:
    """Return a JSON value as one line; tables and lists inside it are left out."""

    def word(inner: Any) -> str:
        if isinstance(inner, float):
            return f"{inner:.6g}"
        if inner is None:
            return NOT_STATED
        return "\u2026" if isinstance(inner, list | dict) else str(inner)

    if isinstance(value, dict):
        pairs = list(value.items())[:MOST_ROWS]
        return ", ".join(f"{name} {word(inner)}" for name, inner in pairs) or "none"
    if isinstance(value, list):
        return ", ".join(word(inner) for inner in value[:MOST_ROWS]) or "none"
    return word(value) or "none"
