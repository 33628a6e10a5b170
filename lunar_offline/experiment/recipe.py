"""What a dataset is made of: env, policies, seed, episodes, and the bytes that come of it."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from lunar_offline import envs
from lunar_offline.data.ids import parse_id
from lunar_offline.errors import UsageError
from lunar_offline.experiment.behavior import BehaviorPolicy, behavior_policy
from lunar_offline.experiment.config import TrainConfig, check_sha256, check_types, read_toml
from lunar_offline.experiment.resources import resources
from lunar_offline.seeding import check_seed

MAX_EPISODES = 10_000_000


def _list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(member, kind) for member in value)


# what is no plain type, and so not checked as one
SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "also": (partial(_list_of, str), "a list of ids"),
    "sources": (partial(_list_of, dict), "a list of tables"),
    "train": (lambda value: isinstance(value, dict), "a table"),
    "discrete": (lambda value: isinstance(value, bool), "true or false"),
}


@dataclass(frozen=True)
class Source:
    """Some of a dataset's episodes.

    Attributes:
        policy: who flies them; see `behavior_policy`.
        episodes: how many, after those of the sources before.
        policy_sha256: of its file; empty is any.
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
    """A dataset before it is made.

    Attributes:
        dataset: the id that it is published under.
        also: other ids that find it.
        discrete: action space; None takes the policy's own.
        seed: of env resets and action noise.
        sources: whose episodes, in this order; empty where `train` makes them.
        train: a training run's config: the dataset is its online episodes.
        sha256: that main_data.hdf5 must have on `platform`; empty is any.
        platform: where that was found.
    """

    dataset: str
    also: list[str] = field(default_factory=list)
    discrete: bool | None = None
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
        if bool(self.sources) == bool(self.train):
            raise UsageError("a recipe has either [[sources]] or [train]")
        if sum(source.episodes for source in self.sources) > MAX_EPISODES:
            raise UsageError(f"episodes: at most {MAX_EPISODES} together")
        if self.train:
            if self.discrete is not None or self.seed:
                raise UsageError("discrete and seed of a training run belong in [train]")
            self.training()

    def training(self) -> TrainConfig:
        """Return the config of the run that `train` describes."""
        return TrainConfig.from_dict(
            {**self.train, "record": self.dataset, "evaluation_episodes": 0}, source="[train]"
        )


@dataclass(frozen=True)
class Crew:
    """A recipe's policies, found and checked.

    Attributes:
        env: what all of them fly.
        flights: per source, its policy and its episodes' indices.
    """

    env: envs.EnvInfo
    flights: list[tuple[BehaviorPolicy, range]]

    @property
    def episodes(self) -> int:
        """Of all sources."""
        return self.flights[-1][1].stop

    @property
    def algorithm(self) -> str:
        """Of the policies."""
        return ", ".join(sorted({policy.algorithm for policy, _ in self.flights}))

    def in_words(self) -> str:
        """Say whose episodes these are."""
        return " and ".join(
            f"{len(indices)} of the {policy.name} policy ({policy.algorithm}, actions sampled)"
            for policy, indices in self.flights
        )

    def recipe(self, seed: int) -> dict[str, Any]:
        """Return what must be asked for to get the same data again, as plain JSON values."""
        return {
            "env_id": self.env.env_id,
            "env_kwargs": dict(self.env.kwargs),
            "seed": seed,
            "sources": [
                {
                    "policy": policy.name,
                    "policy_sha256": policy.sha256,
                    "episodes": len(indices),
                }
                for policy, indices in self.flights
            ],
        }


def muster(recipe: Recipe) -> Crew:
    """Find a recipe's policies.

    Raises:
        UsageError: one is not there, or they fly different envs.
        RefusedError: a file is no whole policy, or not the one that the recipe names.
    """
    flights, start = [], 0
    for source in recipe.sources:
        policy = behavior_policy(source.policy, discrete=recipe.discrete)
        policy.check_sha256(source.policy_sha256)
        flights.append((policy, range(start, start + source.episodes)))
        start += source.episodes
    env = flights[0][0].env
    if any(policy.env != env for policy, _ in flights):
        raise UsageError("the recipe's policies fly different action spaces")
    return Crew(env, flights)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from TOML.

    Raises:
        UsageError: the file is missing, is no TOML, or holds an unknown key or a wrong value.
    """
    values = check_types(Recipe, read_toml(path), str(path))
    for key, (right, what) in SHAPES.items():
        if key in values and not right(values[key]):
            raise UsageError(f"{path}: {key} is not {what}: {values[key]!r:.80}")
    if "dataset" not in values:
        raise UsageError(f"{path}: has no dataset")
    sources = [
        check_types(Source, source, f"{path} [[sources]]") for source in values.pop("sources", [])
    ]
    try:
        return Recipe(**values, sources=tuple(Source(**source) for source in sources))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with the package, by every id that finds them."""
    found: dict[str, Path] = {}
    for path in sorted((resources() / "recipes").glob("*.toml")):
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        found |= dict.fromkeys([values["dataset"], *values.get("also", [])], path)
    return found


def find_recipe(name: str) -> Recipe:
    """Return a recipe by the path of its file or by an id that it ships under.

    Raises:
        UsageError: there is neither; see also `read_recipe`.
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
) -> Recipe:
    """Return the recipe that a command line asks for: a named one, or one of a single policy.

    Raises:
        UsageError: a named recipe says already what another option does; see also `find_recipe`.
    """
    if name is None:
        source = Source(policy or Source.policy, Source.episodes if episodes is None else episodes)
        return Recipe(
            dataset or "lunar-sac-v0", discrete=discrete, seed=seed or 0, sources=(source,)
        )
    given = {"policy": policy, "episodes": episodes, "seed": seed, "discrete": discrete}
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"--recipe says the {option} already; leave --{option} out")
    recipe = find_recipe(name)
    if dataset is None and name in recipe.also:
        dataset = name
    return replace(recipe, dataset=dataset) if dataset else recipe
