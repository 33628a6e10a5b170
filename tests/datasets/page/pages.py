"""Datasets in memory whose episodes and metadata are known, and a page taken apart."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from lunar_offline.datasets.cache import NO_SEED, Flat
from lunar_offline.datasets.dataset import Dataset
from lunar_offline.datasets.folder import DatasetFolder
from lunar_offline.datasets.metadata import Metadata
from lunar_offline.envs.registry import find_env
from lunar_offline.transitions import Episode, Transitions

FIGURES = ["returns", "lengths", "outcomes", "tracks", "density"]
FIGURES += [*(f"state-{index}" for index in range(8)), "actions"]
HOSTILE = "</style></p><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\ud800\x00\u202e"


def dataset_of(
    episodes: list[Episode], *, discrete: bool, licence: str | None = None, **metadata: Any
) -> Dataset:
    """Return lander episodes as a dataset that is nowhere on disk."""
    rows, ends = Transitions.from_episodes(episodes), np.cumsum([len(e) for e in episodes])
    known = Metadata(metadata, find_env(discrete=discrete), "hdf5", len(episodes), len(rows))
    manifest = None if licence is None else {"files": {}, "licence": licence}
    seeds = [NO_SEED if e.seed is None else e.seed for e in episodes]
    return Dataset(
        folder=DatasetFolder("lunar-x-v0", Path("nowhere"), known, manifest),
        flat=Flat(
            rows.records,
            np.concatenate([episode.rewards for episode in episodes]),
            ends,
            np.array(seeds, dtype=np.uint64),
        ),
        sha256="ab" * 32,
        cache=Path("nowhere"),
    )


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
