"""Datasets: collect, load, list and verify."""

from collections.abc import Mapping
from typing import Literal

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.datasets import listing
from lunar_offline.datasets.dataset import Dataset, read_dataset
from lunar_offline.datasets.folder import open_folder
from lunar_offline.datasets.listing import ListedDataset
from lunar_offline.datasets.verify import Verified, verify_dataset
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.env_kwargs import PlainValue
from lunar_offline.envs.registry import find_env, unregistered_env
from lunar_offline.policies.behavior import PolicySource
from lunar_offline.policies.policy import Policy
from lunar_offline.progress import Observer


def named_env(
    env: str | EnvInfo | None,
    env_kwargs: Mapping[str, PlainValue] | None,
    discrete: bool | None = None,
) -> EnvInfo | None:
    """Return the env that the user names; None if none is named.

    Raises:
        UsageError: see `find_env`.
    """
    if isinstance(env, EnvInfo):
        return env.with_settings(env_kwargs or {})
    if env is None and env_kwargs is None:
        return None
    return find_env(*([env] if env else []), discrete=discrete, settings=env_kwargs)


def collect(
    dataset_id: str,
    *,
    policy: PolicySource | Policy = "expert",
    episodes: int = 800,
    env: str | EnvInfo | None = None,
    env_kwargs: Mapping[str, PlainValue] | None = None,
    discrete: bool | None = None,
    seed: int = 0,
    workers: int = 1,
    trust: bool = False,
    observer: Observer | None = None,
) -> Dataset:
    """Run a policy and publish its episodes as a dataset.

    The same call continues an interrupted collection, and returns the dataset if it exists. Equal
    arguments give equal bytes, for any number of workers.

    Example:
        >>> import lunar_offline as lo
        >>> data = lo.collect("lunar-random-v0", policy="random", episodes=3)
        >>> len(data)
        3

    Args:
        dataset_id: the Minari id to publish under, such as `lunar-try-v0`.
        policy: `expert`, `expert-v1`, `medium`, `random` or `controller`; a run or its directory; a
            policy file (`.safetensors`, `.onnx`, a Stable-Baselines3 `.zip`); `module:function`; a
            `Policy`; or a function from an observation, float32 [D], to an action in the env's own
            action space. Actions are sampled if the policy has a distribution of them.
        episodes: number of episodes, at least 1.
        env: Gymnasium id or record of the env. None takes the policy's, and LunarLander-v3 for a
            policy that does not state one.
        env_kwargs: settings of the env, such as `{"enable_wind": True}`.
        discrete: the action space of an env that has both; None takes the policy's.
        seed: seed of env resets and action noise.
        workers: number of processes; a function must then be importable by its name.
        trust: run the pickled code of a `.zip` that cannot be read without it.
        observer: receives the progress; None reports nothing.

    Returns:
        The published dataset.

    Raises:
        UsageError: an argument is invalid, or the policy does not exist or does not fit the env.
        RefusedError: the id belongs to another recipe, another process records it, or the policy
            file is damaged or must be trusted.
    """
    # any policy but a function states its env itself
    named = named_env(env, env_kwargs, discrete) if env or callable(policy) else None
    made = collect_dataset(
        dataset_id,
        policy=policy,
        env=named,
        env_kwargs=env_kwargs,
        discrete=discrete,
        episodes=episodes,
        seed=seed,
        workers=workers,
        trust=trust,
        observer=observer,
    )
    return read_dataset(made.dataset_id)


def load_dataset(
    dataset_id: str,
    *,
    env: str | None = None,
    env_kwargs: Mapping[str, PlainValue] | None = None,
) -> Dataset:
    """Read a local dataset, without running any code that it names.

    Example:
        >>> import lunar_offline as lo
        >>> data = lo.load_dataset("lunar-random-v0")
        >>> data.transitions.observations.shape[1]
        8

    Args:
        dataset_id: its Minari id.
        env: Gymnasium id of its env. It is needed once for an env that is not registered.
        env_kwargs: settings of such an env.

    Raises:
        UsageError: there is no such dataset.
        RefusedError: the dataset is damaged, or its env is not known.
    """
    return read_dataset(dataset_id, unregistered_env(env, env_kwargs))


def list_datasets() -> list[ListedDataset]:
    """Return a row for every local dataset, sorted by id; see `ListedDataset`.

    Example:
        >>> import lunar_offline as lo
        >>> [row.dataset_id for row in lo.list_datasets()]
        ['lunar-random-v0']
    """
    return listing.list_datasets()


def verify(
    dataset: str | Dataset,
    *,
    replay: int | Literal["all"] = 0,
    workers: int = 1,
    observer: Observer | None = None,
) -> Verified:
    """Compare a dataset with its manifest, and episodes with the env, bit for bit.

    Example:
        >>> import lunar_offline as lo
        >>> lo.verify("lunar-random-v0", replay=2).replayed
        2

    Args:
        dataset: a dataset or its id.
        replay: number of episodes to run again in the env, from the first, or `all`.
        workers: number of processes that replay.
        observer: receives the progress; None reports nothing.

    Raises:
        UsageError: there is no such dataset, or it has fewer episodes.
        RefusedError: a file or an episode differs, or there is no manifest.
    """
    folder = dataset.folder if isinstance(dataset, Dataset) else open_folder(dataset)
    return verify_dataset(
        folder, replay=None if replay == "all" else replay, workers=workers, observer=observer
    )
