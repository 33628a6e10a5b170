"""A training run's own online episodes as a dataset: `train --record ID`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lunar_offline.data.episode_file import EpisodeFile
from lunar_offline.data.journal import Journal, discard_leftover, open_journal
from lunar_offline.data.publish import publish
from lunar_offline.experiment.collection import dataset_info, describe, is_there
from lunar_offline.experiment.config import TrainConfig

# what has no part in how the online episodes come out
APART = ("record", "evaluation_episodes")


def recipe_of(config: TrainConfig) -> dict[str, Any]:
    """Return what must be asked for to fly the same episodes again, as plain JSON values."""
    env = config.env_info()
    train = {key: value for key, value in config.to_dict().items() if key not in APART}
    return {"env_id": env.env_id, "env_kwargs": dict(env.kwargs), "train": train}


def check_recording(config: TrainConfig) -> None:
    """Raise RefusedError when the id is taken by another recipe than this run's."""
    if config.record:
        is_there(config.record, recipe_of(config))


@contextmanager
def recording(config: TrainConfig) -> Iterator[Journal | None]:
    """Open the journal of the dataset that a run records; None where it records none.

    Raises:
        RefusedError: another process records it, or the id is taken by another recipe.
    """
    recipe = recipe_of(config)
    if not config.record:
        yield None
        return
    if is_there(config.record, recipe):
        discard_leftover(config.record)
        yield None
        return
    with open_journal(config.record, recipe) as journal:
        yield journal


def publish_recording(
    config: TrainConfig, journal: Journal, episodes: int, check: Callable[[str], object]
) -> None:
    """Publish the online episodes of a finished run under the id that its config gives.

    Args:
        config: the run's.
        journal: holds the episodes.
        episodes: how many were flown.
        check: see `publish`.
    """
    recorded, env = EpisodeFile(journal.episodes(episodes)), config.env_info()
    algorithm = config.algorithm.upper() if config.rho else "SAC"
    flown_by = (
        f"all that a {algorithm} agent flew while it learned, from the first, seed {config.seed}"
    )
    collected = describe(config.record, recorded.episodes)
    info = dataset_info(
        collected,
        env,
        flown_by,
        f"lunar_offline/{algorithm}",
        recipe_of(config),
        recorded.episodes,
    )
    publish(config.record, recorded, env, info, check)
    journal.discard()
