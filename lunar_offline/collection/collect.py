"""Make the dataset of a recipe from its policies or from the training run that it describes."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from lunar_offline.collection.assignments import Assignments, resolve_policies
from lunar_offline.collection.episodes import collect_episodes
from lunar_offline.collection.recipe import Recipe, Source
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.description import Collected, describe_dataset, is_published
from lunar_offline.datasets.episode_file import EpisodeFile
from lunar_offline.datasets.episode_statistics import EpisodeStatistics
from lunar_offline.datasets.journal import discard_leftover, open_journal
from lunar_offline.datasets.publish import publish
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.env_kwargs import PlainValue
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.policies.behavior import BehaviorPolicy, PolicySource, behavior_policy
from lunar_offline.policies.policy import Policy
from lunar_offline.progress import Observer, Silent
from lunar_offline.storage.datasets_root import FOLDER, datasets_root
from lunar_offline.storage.provenance import platform_line
from lunar_offline.training.record_episodes import recording_recipe
from lunar_offline.training.start_or_resume import resume, start
from lunar_offline.transitions import Episode

RUNS = ".runs"  # ids have no dot, so no journal has this name


def collect_dataset(
    dataset_id: str,
    *,
    policy: PolicySource | Policy = "expert",
    discrete: bool | None = None,
    env: EnvInfo | None = None,
    env_kwargs: Mapping[str, PlainValue] | None = None,
    episodes: int = 800,
    seed: int = 0,
    workers: int = 1,
    trust: bool = False,
    observer: Observer | None = None,
) -> Collected:
    """Run one policy for `episodes` episodes and publish them as `dataset_id`; see `make_dataset`.

    Args:
        dataset_id: a Minari id that is not in use.
        policy: see `behavior_policy`, or a loaded one; its actions are sampled if it has a
            distribution of them.
        discrete: whether actions are discrete; None takes the policy's action space, and discrete
            actions for a shipped policy.
        env: the env that the user named, with its action space; None takes the policy's.
        env_kwargs: settings of the policy's env, if none is named.
        episodes: at least 1.
        seed: seed of env resets and action noise.
        workers: number of processes; the bytes of the dataset do not depend on it.
        trust: see `behavior_policy`.
        observer: receives the progress.

    Raises:
        UsageError: the id is malformed, `episodes` is below 1, the policy does not exist or does
            not act as it must, or is a function that other processes cannot load.
        RefusedError: the id belongs to another recipe, another process records it, or the policy
            file is damaged.
    """
    given: dict[str, BehaviorPolicy] = {}
    if isinstance(policy, str | os.PathLike):
        name = os.fspath(policy)
    else:
        if isinstance(policy, Policy):
            loaded = policy.behavior_policy(stochastic=True)
        else:
            loaded = behavior_policy(policy, discrete=discrete, env=env)
        given, name = {loaded.name: loaded}, loaded.name
    recipe = Recipe(
        dataset_id,
        discrete=env.discrete if env else discrete,
        env=env.env_id if env else "",
        env_kwargs=env.settings if env else env_kwargs or {},
        seed=seed,
        sources=(Source(name, episodes),),
    )
    return make_dataset(recipe, workers=workers, given=given, trust=trust, observer=observer)


def make_dataset(
    recipe: Recipe,
    *,
    workers: int = 1,
    other_bytes: bool = False,
    given: Mapping[str, BehaviorPolicy] | None = None,
    trust: bool = False,
    observer: Observer | None = None,
) -> Collected:
    """Make the dataset that a recipe describes; the same call continues an interrupted collection.

    An existing dataset of the same recipe is not changed.

    Args:
        recipe: of policies or of a training run.
        workers: number of processes that run episodes; a training run uses one.
        other_bytes: publish even if the data have another sha256 than the recipe gives.
        given: see `resolve_policies`.
        trust: see `behavior_policy`.
        observer: receives the progress.

    Raises:
        UsageError: `workers` is below 1; see also `resolve_policies` and `start`.
        RefusedError: the id belongs to another recipe, another process records it, or the data have
            another sha256; see also `resolve_policies` and `start`.
    """
    observer = observer or Silent()
    if recipe.train:
        return _record_training(recipe, other_bytes=other_bytes, observer=observer)
    if workers < 1:
        raise UsageError(f"--workers {workers}: at least one")
    torch.set_num_threads(1)
    assignments = resolve_policies(recipe, given=given, trust=trust)
    for policy, _ in assignments.by_policy:
        policy.check_workers(workers)
    asked = assignments.recipe(recipe.seed)
    if found := published(recipe, asked, other_bytes=other_bytes):
        discard_leftover(recipe.dataset)
        return found
    return _run_policies(
        recipe, assignments, workers=workers, other_bytes=other_bytes, observer=observer
    )


def _run_policies(
    recipe: Recipe, assignments: Assignments, *, workers: int, other_bytes: bool, observer: Observer
) -> Collected:
    """Run the episodes that are missing in the journal, and publish the dataset."""
    asked, env = assignments.recipe(recipe.seed), assignments.env
    with open_journal(recipe.dataset, _without_last_count(asked)) as journal:
        missing = [index for index in range(assignments.episodes) if index not in journal]
        observer.phase("collecting", assignments.episodes, assignments.episodes - len(missing))
        new, recorded = _episodes(assignments, missing, recipe.seed, workers), EpisodeFile(env=env)
        for index in range(assignments.episodes):
            if index in journal:
                recorded.add(journal.read(index))
                continue
            episode = next(new)
            journal.append(index, episode)
            recorded.add(episode)
            observer.advance(1, episode_return=episode.episode_return)
        observer.phase("publishing", 1, 0)
        info = describe_dataset(
            recipe.dataset,
            recorded.episodes,
            env,
            recorded_from=assignments.in_words(),
            algorithm=assignments.algorithm,
            recipe=asked,
        )
        path = publish(
            recipe.dataset,
            recorded,
            env,
            info,
            check=partial(check_bytes, recipe, other_bytes=other_bytes),
        )
        journal.discard()
        observer.advance(1)
    statistics = EpisodeStatistics.of_episodes(recorded.episodes, env)
    return Collected(recipe.dataset, path, statistics)


def _episodes(
    assignments: Assignments, missing: Sequence[int], seed: int, workers: int
) -> Iterator[Episode]:
    for policy, indices in assignments.by_policy:
        yield from collect_episodes(
            assignments.env,
            policy.act,
            seed=seed,
            episodes=[index for index in missing if index in indices],
            workers=workers,
            prepare=partial(torch.set_num_threads, 1),
        )


def _without_last_count(asked: dict[str, Any]) -> dict[str, Any]:
    """Drop the last policy's number of episodes: a journal may continue with a larger one."""
    *before, last = asked["sources"]
    open_end = {key: value for key, value in last.items() if key != "episodes"}
    return asked | {"sources": [*before, open_end]}


def _record_training(recipe: Recipe, *, other_bytes: bool, observer: Observer) -> Collected:
    """Run the recipe's training run, and publish its online episodes."""
    config = recipe.training()
    asked, out = recording_recipe(config), datasets_root() / FOLDER / RUNS / recipe.dataset
    if found := published(recipe, asked, other_bytes=other_bytes):
        discard_leftover(recipe.dataset)  # left by a crash after publishing
        shutil.rmtree(out, ignore_errors=True)
        return found
    training = resume(out, observer) if out.is_dir() else start(config, out, observer)
    training.check_recorded = partial(check_bytes, recipe, other_bytes=other_bytes)
    training.train()
    shutil.rmtree(out, ignore_errors=True)
    made = published(recipe, asked, other_bytes=other_bytes)
    assert made is not None
    return replace(made, existed=False)


def published(recipe: Recipe, asked: dict[str, Any], *, other_bytes: bool) -> Collected | None:
    """Return the dataset of a recipe if it exists, or None if its id is not in use.

    Args:
        recipe: the recipe, with the id and the sha256.
        asked: the recipe that the manifest must hold.
        other_bytes: accept another sha256.

    Raises:
        RefusedError: the dataset belongs to another recipe, or has another sha256.
    """
    if not is_published(recipe.dataset, asked):
        return None
    dataset = read_dataset(recipe.dataset)
    check_bytes(recipe, dataset.sha256, other_bytes=other_bytes)
    return Collected(recipe.dataset, dataset.path, dataset.statistics(), existed=True)


def check_bytes(recipe: Recipe, sha256: str, *, other_bytes: bool) -> None:
    """Raise RefusedError if the sha256 is not the recipe's, unless the user accepts other bytes."""
    if recipe.sha256 and sha256 != recipe.sha256 and not other_bytes:
        raise RefusedError(
            f"dataset {recipe.dataset}: its data have sha256 {sha256}, its recipe gives "
            f"{recipe.sha256} (on {recipe.platform or 'its platform'}; here is {platform_line()}); "
            "--other-bytes accepts the data anyway"
        )
