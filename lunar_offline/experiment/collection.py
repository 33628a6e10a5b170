"""Collect and publish a dataset: behaviour policy, episodes, metadata."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lunar_offline.data.collect import collect
from lunar_offline.data.episode_file import EpisodeFile
from lunar_offline.data.ids import check_free, dataset_path
from lunar_offline.data.journal import discard_leftover, open_journal
from lunar_offline.data.manifest import read_manifest
from lunar_offline.data.publish import DatasetInfo, publish
from lunar_offline.data.reader import read_dataset
from lunar_offline.envs import EnvInfo
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.behavior import reference_mean
from lunar_offline.experiment.card import card, statistics
from lunar_offline.experiment.evaluate import outcome
from lunar_offline.experiment.progress import Observer, Silent
from lunar_offline.experiment.provenance import platform_line, provenance, versions
from lunar_offline.experiment.recipe import Crew, Recipe, Source, muster
from lunar_offline.transitions import Episode


@dataclass(frozen=True)
class Collected:
    """A published dataset in numbers: returns are undiscounted, `crash_rate` a share.

    `was_there` says that the same recipe had been published before.
    """

    dataset_id: str
    path: Path
    episodes: int
    steps: int
    mean_return: float
    sd_return: float
    crash_rate: float
    was_there: bool = False


def collect_dataset(
    dataset_id: str,
    *,
    policy: str = "expert",
    discrete: bool | None = None,
    episodes: int = 800,
    seed: int = 0,
    workers: int = 1,
    observer: Observer | None = None,
) -> Collected:
    """Fly `episodes` episodes of one policy and publish them as `dataset_id`; see `follow`.

    Args:
        dataset_id: a free Minari id.
        policy: see `behavior_policy`; its actions are sampled.
        discrete: action space; None takes the policy's own, discrete for a tier.
        episodes: at least one.
        seed: of env resets and action noise.
        workers: processes that fly; the dataset's bytes do not depend on how many.
        observer: hears of the progress.

    Raises:
        UsageError: the id is malformed, no such policy, or no episode asked for.
        RefusedError: the id is taken by another recipe, another process records it, or the policy's
            file is damaged.
    """
    recipe = Recipe(dataset_id, discrete=discrete, seed=seed, sources=(Source(policy, episodes),))
    return follow(recipe, workers=workers, observer=observer)


def follow(
    recipe: Recipe,
    *,
    workers: int = 1,
    other_bytes: bool = False,
    observer: Observer | None = None,
) -> Collected:
    """Make the dataset that a recipe describes.

    Every episode is journalled as it lands, so the same call goes on after any crash, and gives the
    same bytes. A dataset that stands already with the same recipe is left as it is.

    Args:
        recipe: of sources.
        workers: processes that fly.
        other_bytes: publish even if the data have another sha256 than the recipe gives.
        observer: hears of the progress.

    Raises:
        UsageError: see `muster`.
        RefusedError: see `muster`; the id is taken by another recipe, another process records it,
            or the data have another sha256.
    """
    observer = observer or Silent()
    if workers < 1:
        raise UsageError(f"--workers {workers}: at least one")
    torch.set_num_threads(1)
    crew, dataset_id = muster(recipe), recipe.dataset
    asked = crew.recipe(recipe.seed)
    if found := standing(recipe, asked, other_bytes=other_bytes):
        discard_leftover(dataset_id)
        return found
    with open_journal(dataset_id, _without_last_count(asked)) as journal:
        missing = [index for index in range(crew.episodes) if index not in journal]
        observer.phase("collecting", crew.episodes, crew.episodes - len(missing))
        flown, recorded = _fly(crew, missing, recipe.seed, workers), EpisodeFile()
        for index in range(crew.episodes):
            if index in journal:
                recorded.add(journal.read(index))
                continue
            episode = next(flown)
            journal.append(index, episode)
            recorded.add(episode)
            observer.advance(1, episode_return=episode.episode_return)
        observer.phase("publishing", 1, 0)
        episodes = recorded.episodes
        collected = describe(dataset_id, episodes)
        info = dataset_info(collected, crew.env, crew.in_words(), crew.algorithm, asked, episodes)
        publish(
            dataset_id,
            recorded,
            crew.env,
            info,
            check=partial(check_bytes, recipe, other_bytes=other_bytes),
        )
        journal.discard()
        observer.advance(1)
    return collected


def _fly(crew: Crew, missing: Sequence[int], seed: int, workers: int) -> Iterator[Episode]:
    for policy, indices in crew.flights:
        due = [index for index in missing if index in indices]
        yield from collect(
            crew.env,
            policy.act,
            seed=seed,
            episodes=due,
            workers=workers,
            prepare=partial(torch.set_num_threads, 1),
        )


def _without_last_count(asked: dict[str, Any]) -> dict[str, Any]:
    """Drop how many episodes come last: a journal may be continued to more of them."""
    *before, last = asked["sources"]
    open_end = {key: value for key, value in last.items() if key != "episodes"}
    return asked | {"sources": [*before, open_end]}


def standing(recipe: Recipe, asked: dict[str, Any], *, other_bytes: bool) -> Collected | None:
    """Return the recipe's dataset if it stands already; None where its id is free.

    Args:
        recipe: gives the id and the sha256.
        asked: what the manifest's recipe must be.
        other_bytes: take another sha256.

    Raises:
        RefusedError: another recipe's dataset stands there, or one of another sha256.
    """
    if not is_there(recipe.dataset, asked):
        return None
    there = read_dataset(recipe.dataset)
    check_bytes(recipe, there.sha256, other_bytes=other_bytes)
    return describe(recipe.dataset, there.episodes(), there=True)


def check_bytes(recipe: Recipe, sha256: str, *, other_bytes: bool) -> None:
    """Raise RefusedError when the data are not those of the recipe, and the user did not say so."""
    if recipe.sha256 and sha256 != recipe.sha256 and not other_bytes:
        raise RefusedError(
            f"dataset {recipe.dataset}: its data have sha256 {sha256}, its recipe says "
            f"{recipe.sha256} (on {recipe.platform or 'its platform'}; here is {platform_line()}); "
            "--other-bytes takes it all the same"
        )


def is_there(dataset_id: str, recipe: dict[str, Any]) -> bool:
    """Say whether this very dataset stands already; raise RefusedError where another one does."""
    if not dataset_path(dataset_id).exists():
        return False
    manifest = read_manifest(dataset_path(dataset_id))
    if manifest is None or manifest.get("recipe") != recipe:
        check_free(dataset_id)
    return True


def describe(dataset_id: str, episodes: Sequence[Episode], *, there: bool = False) -> Collected:
    """Return a dataset's numbers; `there` says that it stood already."""
    returns = np.array([episode.episode_return for episode in episodes])
    return Collected(
        dataset_id=dataset_id,
        path=dataset_path(dataset_id),
        episodes=len(episodes),
        steps=sum(len(episode) for episode in episodes),
        mean_return=float(returns.mean()),
        sd_return=float(returns.std()),
        crash_rate=sum(outcome(episode) == "crashed" for episode in episodes) / len(episodes),
        was_there=there,
    )


def dataset_info(
    collected: Collected,
    env: EnvInfo,
    flown_by: str,
    algorithm: str,
    recipe: dict[str, Any],
    episodes: Sequence[Episode],
) -> DatasetInfo:
    """Return what a dataset is to say of itself.

    Args:
        collected: its numbers.
        env: where it was flown.
        flown_by: whose episodes these are, in words.
        algorithm: of the behaviour policies.
        recipe: what makes the same data again.
        episodes: all of them.
    """
    pinned, measured = versions(), statistics(episodes)
    description = (
        f"{collected.episodes} episodes ({collected.steps} steps): {flown_by}, in "
        f"[{env.env_id}](https://gymnasium.farama.org/environments/box2d/lunar_lander/) with "
        f"{env.action_name} actions. Mean return {collected.mean_return:.1f}, standard deviation "
        f"{collected.sd_return:.1f}. Recorded by lunar_offline {pinned['lunar-offline']}; every "
        "episode replays from its seed and actions."
    )
    return DatasetInfo(
        algorithm_name=algorithm,
        description=description,
        requirements=[f"gymnasium[box2d]=={pinned['gymnasium']}", f"box2d=={pinned['box2d']}"],
        ref_min_score=reference_mean("random", discrete=env.discrete),
        ref_max_score=reference_mean("expert", discrete=env.discrete),
        recipe=recipe,
        provenance=provenance(),
        statistics=measured,
        card=card(collected.dataset_id, description, recipe, measured),
    )
