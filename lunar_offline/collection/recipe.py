"""Recipes of datasets: env, policies, seed, episodes, and the sha256 of the resulting data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from lunar_offline.datasets.ids import parse_id
from lunar_offline.envs import DEFAULT_ENV
from lunar_offline.envs.env_kwargs import PlainValue, checked_kwargs
from lunar_offline.errors import UsageError
from lunar_offline.options import check_sha256, typed_values
from lunar_offline.policies import names_function
from lunar_offline.seeding import check_seed
from lunar_offline.storage.package_data import shipped_recipes
from lunar_offline.storage.strict_toml import read_toml
from lunar_offline.training.config import TrainConfig

MAX_EPISODES = 10_000_000
DEFAULT_ID = "lunar-sac-v0"


def _list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(member, kind) for member in value)


# keys of other than plain types, which `typed_values` does not check
SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "also": (partial(_list_of, str), "a list of ids"),
    "sources": (partial(_list_of, dict), "a list of tables"),
    "discrete": (lambda value: isinstance(value, bool), "true or false"),
}


@dataclass(frozen=True)
class Source:
    """A policy of a recipe, and its number of episodes.

    Attributes:
        policy: the policy that runs them; see `behavior_policy`.
        episodes: number of episodes, which follow those of the sources before.
        policy_sha256: sha256 of the policy file; empty accepts any.
    """

    policy: str = "expert"
    episodes: int = 800
    policy_sha256: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.episodes <= MAX_EPISODES:
            raise UsageError(
                f"episodes {self.episodes!s:.40}: at least one, at most {MAX_EPISODES}"
            )
        check_sha256("policy_sha256", self.policy_sha256)


@dataclass(frozen=True)
class Recipe:
    """The description from which a dataset is made.

    Attributes:
        dataset: the id under which the dataset is published.
        also: other ids under which `find_recipe` finds the recipe.
        discrete: whether actions are discrete; None takes the policy's action space.
        env: Gymnasium id of the env; empty takes the policies' env.
        env_kwargs: settings of the env; empty takes those of the policies' env.
        seed: seed of env resets and action noise.
        sources: policies and their numbers of episodes, in order; empty with `train`.
        train: config of a training run whose online episodes are the dataset; empty with `sources`.
        sha256: sha256 that main_data.hdf5 must have on `platform`; empty accepts any.
        platform: the platform on which the sha256 was measured.
    """

    dataset: str
    also: list[str] = field(default_factory=list)
    discrete: bool | None = None
    env: str = ""
    env_kwargs: Mapping[str, PlainValue] = field(default_factory=dict)
    seed: int = 0
    sources: tuple[Source, ...] = ()
    train: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    platform: str = ""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_sha256("sha256", self.sha256)
        for dataset_id in (self.dataset, *self.also):
            parse_id(dataset_id)
        checked_kwargs(self.env, self.env_kwargs, None)
        if bool(self.sources) == bool(self.train):
            raise UsageError("a recipe has either [[sources]] or [train]")
        if sum(source.episodes for source in self.sources) > MAX_EPISODES:
            raise UsageError(f"episodes: at most {MAX_EPISODES} in total")
        if self.train:
            if self.discrete is not None or self.seed or self.env or self.env_kwargs:
                raise UsageError(
                    "discrete, env, env_kwargs and seed of a training run belong in [train]"
                )
            self.training()

    def training(self) -> TrainConfig:
        """Return the config of the run that `train` describes."""
        return TrainConfig.from_dict(
            {**self.train, "record": self.dataset, "evaluation_episodes": 0}, source="[train]"
        )


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from TOML.

    Raises:
        UsageError: the file is missing or not valid TOML, or has an unknown key or a wrong value.
    """
    values = typed_values(Recipe, read_toml(path), str(path))
    for key, (right, what) in SHAPES.items():
        if key in values and not right(values[key]):
            raise UsageError(f"{path}: {key} is not {what}: {values[key]!r:.80}")
    if "dataset" not in values:
        raise UsageError(f"{path}: has no dataset")
    sources = [
        typed_values(Source, source, f"{path} [[sources]]") for source in values.pop("sources", [])
    ]
    for source in sources:
        if names_function(source.get("policy", "")):
            raise UsageError(
                f"{path}: policy {source['policy'][:80]!r} is code, which a file does not name; "
                "use collect --policy"
            )
    try:
        return Recipe(**values, sources=tuple(Source(**source) for source in sources))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def find_recipe(name: str) -> Recipe:
    """Return a recipe by the path of its file, or a shipped recipe by one of its ids.

    Raises:
        UsageError: neither exists; see also `read_recipe`.
    """
    shipped = shipped_recipes()
    if name in shipped:
        return read_recipe(shipped[name])
    if not name.endswith(".toml"):
        raise UsageError(f"no recipe {name!r}: give a .toml file, or {', '.join(sorted(shipped))}")
    return read_recipe(Path(name))


def from_options(
    name: str | None,
    *,
    dataset: str | None,
    policy: str | None,
    discrete: bool | None,
    episodes: int | None,
    seed: int | None,
    env: str | None = None,
    env_kwargs: Mapping[str, PlainValue] | None = None,
) -> Recipe:
    """Return the recipe of a command line: a named recipe, or a new one with a single policy.

    The default id belongs to the shipped recipe alone, so any other collection names its own.

    Args:
        name: path or id of a recipe; None makes a new one from the other options.
        dataset: id to publish under; None takes the recipe's, or the default id.
        policy: see `Source`; like those below, only for a new recipe.
        discrete: see `Recipe`.
        episodes: see `Source`.
        seed: see `Recipe`.
        env: see `Recipe`.
        env_kwargs: see `Recipe`.

    Raises:
        UsageError: an option repeats what the named recipe sets, or no id is given for another
            collection than the shipped one; see also `find_recipe`.
    """
    if name is None:
        source = Source(policy or Source.policy, Source.episodes if episodes is None else episodes)
        recipe = Recipe(
            DEFAULT_ID if dataset is None else dataset,
            discrete=discrete,
            env=env or "",
            env_kwargs=env_kwargs or {},
            seed=seed or 0,
            sources=(source,),
        )
        if dataset is None and not _is_shipped(recipe):
            raise UsageError(
                f"name the dataset: --dataset ID, such as my-lander-v0; {DEFAULT_ID} is the id of "
                "the shipped recipe alone (800 episodes of the expert policy, seed 0)"
            )
        return recipe
    given = {
        "--policy": policy,
        "--episodes": episodes,
        "--seed": seed,
        "--discrete/--continuous": discrete,
        "--env": env,
        "--env-kwargs": env_kwargs,
    }
    for flag, value in given.items():
        if value is not None:
            raise UsageError(f"--recipe already sets what {flag} sets; leave out {flag}")
    recipe = find_recipe(name)
    if dataset is None and name in recipe.also:
        dataset = name
    return recipe if dataset is None else replace(recipe, dataset=dataset)


def _is_shipped(recipe: Recipe) -> bool:
    """Return whether a recipe with the default id describes what the shipped one does."""
    plain = replace(recipe, discrete=None if recipe.discrete else recipe.discrete)
    plain = replace(plain, env="" if recipe.env == DEFAULT_ENV else recipe.env)
    return plain == Recipe(DEFAULT_ID, sources=(Source(),))
