"""Episodes as Minari's own buffers, for datasets that Minari writes."""

from collections.abc import Iterable

from minari.data_collector import EpisodeBuffer

from lunar_offline.transitions import FIELDS, Episode


def minari_buffers(episodes: Iterable[Episode]) -> list[EpisodeBuffer]:
    return [
        EpisodeBuffer(id=index, seed=e.seed, **{name: getattr(e, name) for name in FIELDS})
        for index, e in enumerate(episodes)
    ]
