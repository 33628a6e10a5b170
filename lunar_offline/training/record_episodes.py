"""Publish the online episodes of a training run as a dataset: `train --record ID`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lunar_offline.datasets.description import describe_dataset, is_published
from lunar_offline.datasets.episode_file import EpisodeFile
from lunar_offline.datasets.journal import Journal, discard_leftover, open_journal
from lunar_offline.datasets.publish import publish
from lunar_offline.training.config import TrainConfig

# options that do not change the online episodes
WITHOUT_EFFECT = ("record", "evaluation_episodes")


def recording_recipe(config: TrainConfig) -> dict[str, Any]:
    """Return the recipe that reproduces the online episodes, as plain JSON values."""
    env = config.env_info()
    train = {key: value for key, value in config.to_dict().items() if key not in WITHOUT_EFFECT}
    return {"env_id": env.env_id, "env_kwargs": env.all_kwargs, "train": train}


def check_recording(config: TrainConfig) -> None:
    """Raise RefusedError if a dataset of another recipe has the id that the run records."""
    if config.record:
        is_published(config.record, recording_recipe(config))


@contextmanager
def recording(config: TrainConfig) -> Iterator[Journal | None]:
    """Open the journal of the dataset that a run records.

    The journal is None if the run records no dataset, or if the dataset is already published.

    Raises:
        RefusedError: another process records the dataset, or a dataset of another recipe has the
            id.
    """
    if not config.record:
        yield None
        return
    recipe = recording_recipe(config)
    if is_published(config.record, recipe):
        discard_leftover(config.record)
        yield None
        return
    with open_journal(config.record, recipe) as journal:
        yield journal


def publish_recording(
    config: TrainConfig,
    journal: Journal,
    episodes: int,
    check: Callable[[str], object] | None,
) -> None:
    """Publish the online episodes of a finished run under the id in its config.

    Args:
        config: the config of the run.
        journal: holds the episodes.
        episodes: number of online episodes of the run.
        check: see `publish`.
    """
    env = config.env_info()
    recorded = EpisodeFile(journal.episodes(episodes), env)
    algorithm = config.algorithm.upper() if config.rho else "SAC"
    info = describe_dataset(
        config.record,
        recorded.episodes,
        env,
        recorded_from=(
            f"all online episodes of a {algorithm} training run, from the first, seed {config.seed}"
        ),
        algorithm=f"lunar_offline/{algorithm}",
        recipe=recording_recipe(config),
    )
    publish(config.record, recorded, env, info, check)
    journal.discard()
