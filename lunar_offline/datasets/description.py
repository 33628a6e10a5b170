"""The description of a new dataset: statistics, text, versions and card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunar_offline.datasets.card import card
from lunar_offline.datasets.episode_statistics import EpisodeStatistics
from lunar_offline.datasets.ids import check_free, dataset_path
from lunar_offline.datasets.manifest import read_manifest
from lunar_offline.datasets.publish import DatasetInfo
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.env_kwargs import format_kwargs
from lunar_offline.storage.provenance import provenance, versions
from lunar_offline.transitions import Episode


@dataclass(frozen=True)
class Collected:
    """A published dataset.

    Attributes:
        dataset_id: its Minari id.
        path: its folder.
        statistics: of its episodes.
        existed: whether the dataset of this recipe already existed.
    """

    dataset_id: str
    path: Path
    statistics: EpisodeStatistics
    existed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as `collect --json` prints them."""
        found = self.statistics
        return {
            "dataset_id": self.dataset_id,
            "path": str(self.path),
            "episodes": found.episodes,
            "steps": found.steps,
            "mean_return": found.returns.mean,
            "sd_return": found.returns.sd,
            "crash_rate": found.crash_rate,
            "existed": self.existed,
        }


def is_published(dataset_id: str, recipe: Mapping[str, Any]) -> bool:
    """Return whether the dataset of a recipe exists.

    Raises:
        RefusedError: a dataset of another recipe has that id.
    """
    if not dataset_path(dataset_id).exists():
        return False
    manifest = read_manifest(dataset_path(dataset_id))
    if manifest is None or manifest.get("recipe") != recipe:
        check_free(dataset_id)
    return True


def describe_dataset(
    dataset_id: str,
    episodes: Sequence[Episode],
    env: EnvInfo,
    *,
    recorded_from: str,
    algorithm: str,
    recipe: dict[str, Any],
) -> DatasetInfo:
    """Return the description of a dataset, as it is published with the data.

    Args:
        dataset_id: its Minari id.
        episodes: all episodes; at least one.
        env: the env that they were recorded in.
        recorded_from: the behavior policies, in words.
        algorithm: name of the algorithm of the behavior policies.
        recipe: the recipe that reproduces the data; plain JSON values.
    """
    installed, statistics = versions(), EpisodeStatistics.of_episodes(episodes, env)
    link = f"[{env.env_id}]({env.url})" if env.url else env.env_id
    settings = f" and {format_kwargs(env.settings)}" if env.settings else ""
    description = (
        f"{statistics.episodes} episodes ({statistics.steps} steps): {recorded_from}, in {link} "
        f"with {env.action_kind} actions{settings}. Mean return {statistics.returns.mean:.1f}, "
        f"standard deviation {statistics.returns.sd:.1f}. Recorded by lunar_offline "
        f"{installed['lunar-offline']}; every episode replays from its seed and actions."
    )
    return DatasetInfo(
        algorithm_name=algorithm,
        description=description,
        requirements=[f"{name}=={installed[name.split('[')[0]]}" for name in env.requirements],
        reference_scores=env.reference_scores,
        recipe=recipe,
        provenance=provenance(),
        statistics=statistics.to_dict(),
        card=card(dataset_id, description, recipe, statistics),
    )
