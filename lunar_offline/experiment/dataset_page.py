"""A dataset on one HTML page: no scripts, nothing from elsewhere, the same bytes every time."""

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from lunar_offline import __version__, envs
from lunar_offline.data.ids import check_there
from lunar_offline.data.manifest import read_manifest
from lunar_offline.data.publish import METADATA_KEY
from lunar_offline.data.reader import OfflineDataset, read_dataset
from lunar_offline.errors import UsageError
from lunar_offline.experiment import dataset_sections as sections
from lunar_offline.experiment import landing_figures, svg
from lunar_offline.experiment.card import statistics
from lunar_offline.files import write_atomic

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
MOST_TEXT = 2_000  # characters of any one text of a dataset
MOST_ROWS = 80
NOT_STATED = "not stated"


def write_page(dataset_id: str, path: Path) -> int:
    """Write the page of a local dataset.

    Args:
        dataset_id: see `read_dataset`.
        path: the HTML file; one that is there is replaced.

    Returns:
        Its size in bytes.

    Raises:
        UsageError: the path cannot be written to, or there is no such dataset.
        RefusedError: see `read_dataset`.
    """
    try:
        target = path.resolve()
    except RuntimeError:
        raise UsageError(f"--html {path}: a symbolic link that leads to itself") from None
    if target.is_dir():
        raise UsageError(f"--html {path}: is a directory; name a file in it")
    if not target.parent.is_dir():
        raise UsageError(f"--html {path}: there is no directory {path.parent}; make it first")
    if target.exists() and not target.is_file():
        raise UsageError(f"--html {path}: is not a regular file")
    folder = check_there(dataset_id)
    if target.is_relative_to(folder.resolve()):
        raise UsageError(f"--html {path}: lies in the dataset's own folder, which never changes")
    dataset = read_dataset(dataset_id)
    manifest = read_manifest(folder) or {}
    content = dataset_page(dataset, licence=manifest.get("licence")).encode()
    write_atomic(target, content)
    return len(content)


def dataset_page(dataset: OfflineDataset, *, licence: Any = None) -> str:
    """Return the HTML page of a dataset; a function of its arguments alone.

    Args:
        dataset: of either action space, with at least one episode.
        licence: as its manifest states it, None where there is none.
    """
    measured = statistics(dataset.episodes())
    body = [
        _header(dataset, licence, measured),
        "<main>",
        sections.episodes(dataset, measured),
        landing_figures.section(dataset),
        sections.states(dataset),
        sections.actions(dataset, measured),
        _provenance(dataset),
        f"</main><footer>Drawn by lunar-offline {__version__}; nothing that the dataset names was "
        "run.</footer>",
    ]
    title = escape(dataset.dataset_id)
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


def _text(value: Any) -> str:
    """Escape a JSON value of a dataset; unprintable characters and the rest of long texts go."""
    text = _line(value)
    printable = "".join(c if c.isprintable() else " " for c in text[:MOST_TEXT])
    return escape(printable) + (" \u2026" if len(text) > MOST_TEXT else "")


def _header(dataset: OfflineDataset, licence: Any, measured: Mapping[str, Any]) -> str:
    metadata, env = dataset.metadata, dataset.env
    returns, lengths, outcomes = measured["returns"], measured["lengths"], measured["outcomes"]
    landed = 100 * outcomes["landed"] / measured["episodes"]
    names = envs.DISCRETE_ACTIONS if env.discrete else envs.CONTINUOUS_ACTIONS
    space = f"{len(names)} discrete" if env.discrete else f"{len(names)} continuous, \u22121 to 1"
    tiles = (
        ("Episodes", svg.number(measured["episodes"]), f"{svg.number(measured['steps'])} steps"),
        ("Mean return", svg.number(returns["mean"], 1), f"sd {svg.number(returns['sd'], 1)}"),
        ("Landed", f"{svg.number(landed, 1)}%", f"{svg.number(outcomes['landed'])} episodes"),
        ("Median length", svg.number(lengths["median"]), "steps"),
    )
    data = "main_data.hdf5" if metadata.get("data_format", "hdf5") == "hdf5" else "the data"
    facts = (
        ("Environment", _text(env.env_id), ""),
        ("Actions", f"{space}: {', '.join(names)}", ""),
        ("Behaviour policy", _behaviour_policy(metadata), ""),
        ("Licence", _text(licence), ""),
        (f"sha256 of {data}", f"<code>{dataset.sha256}</code>", "wide"),
    )
    return (
        '<header><p class="kind">Offline reinforcement learning dataset</p>'
        f"<h1>{escape(dataset.dataset_id)}</h1>"
        f'<p class="about">{_text(_unlinked(metadata.get("description")) or "No description.")}</p>'
        '<dl class="grid tiles">'
        + "".join(f"<div><dt>{a}</dt><dd>{b} <small>{c}</small></dd></div>" for a, b, c in tiles)
        + '</dl><dl class="facts">'
        + "".join(f'<div class="{c}"><dt>{a}</dt><dd>{b}</dd></div>' for a, b, c in facts)
        + "</dl></header>"
    )


def _unlinked(description: Any) -> str:
    """Leave of Markdown's links their words: a page about a stranger's data links nowhere."""
    text = description[:MOST_TEXT] if isinstance(description, str) else ""
    return re.sub(r"\[([^\[\]]*)\]\(https?://[^()\s]*\)", r"\1", text)


def _behaviour_policy(metadata: Mapping[str, Any]) -> str:
    ours = metadata.get(METADATA_KEY)
    recipe = ours.get("recipe") if isinstance(ours, dict) else None
    sources = recipe.get("sources") if isinstance(recipe, dict) else None
    named = [
        source.get("policy")
        for source in (sources if isinstance(sources, list) else [])
        if isinstance(source, dict)
    ]
    algorithm = metadata.get("algorithm_name")
    return ", ".join(_text(said) for said in (*named, algorithm) if said) or NOT_STATED


def _provenance(dataset: OfflineDataset) -> str:
    metadata = dataset.metadata
    told = [
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
        told += list(inside.items())[:MOST_ROWS] if isinstance(inside, dict) else []
    seeded = sum(seed is not None for seed in dataset.seeds)
    told.append(("episodes with a seed", f"{seeded:,} of {len(dataset.seeds):,}"))
    rows = "".join(
        f'<tr><th scope="row">{_text(name)}</th><td>{_text(value)}</td></tr>'
        for name, value in told
    )
    table = f'<div class="card"><table class="pairs"><tbody>{rows}</tbody></table></div>'
    return sections.section("Provenance", "As the dataset states it.", table)


def _line(value: Any) -> str:
    """Write a JSON value on one line; what is nested twice is left out."""

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
