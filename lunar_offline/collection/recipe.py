"""Recipes of datasets: env, policies, seed, episodes, and the sha256 of the resulting data."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from lunar_offline.datasets.ids import parse_id
from lunar_offline.errors import UsageError
from lunar_offline.options import check_sha256, typed_values
from lunar_offline.seeding import check_seed
from lunar_offline.storage.package_data import package_data
from lunar_offline.storage.strict_toml import read_toml
from lunar_offline.training.config import TrainConfig

MAX_EPISODES = 10_000_000


def _list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(member, kind) for member in value)


# keys of other than plain types, which `typed_values` does not check
SHAPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "also": (partial(_list_of, str), "a list of ids"),
    "sources": (partial(_list_of, dict), "a list of tables"),
    "train": (lambda value: isinstance(value, dict), "a table"),
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
        seed: seed of env resets and action noise.
        sources: policies and their numbers of episodes, in order; empty with `train`.
        train: config of a training run whose online episodes are the dataset; empty with `sources`.
        sha256: sha256 that main_data.hdf5 must have on `platform`; empty accepts any.
        platform: the platform on which the sha256 was measured.
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
            raise UsageError(f"episodes: at most {MAX_EPISODES} in total")
        if self.train:
            if self.discrete is not None or self.seed:
                raise UsageError("discrete and seed of a training run belong in [train]")
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
    try:
        return Recipe(**values, sources=tuple(Source(**source) for source in sources))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def shipped_recipes() -> dict[str, Path]:
    """Return the paths of the recipes in the package, by each of their ids."""
    found: dict[str, Path] = {}
    for path in sorted((package_data() / "recipes").glob("*.toml")):
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        found |= dict.fromkeys([values["dataset"], *values.get("also", [])], path)
    return found


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
) -> Recipe:
    """Return the recipe of a command line: a named recipe, or a new one with a single policy.

    Args:
        name: path or id of a recipe; None makes a new one from the other options.
        dataset: id to publish under; None takes the recipe's.
        policy: see `Source`; like those below, only for a new recipe.
        discrete: see `Recipe`.
        episodes: see `Source`.
        seed: see `Recipe`.

    Raises:
        UsageError: an option repeats what the named recipe sets; see also `find_recipe`.
    """
    if name is None:
        source = Source(policy or Source.policy, Source.episodes if episodes is None else episodes)
        return Recipe(
            dataset or "lunar-sac-v0", discrete=discrete, seed=seed or 0, sources=(source,)
        )
    given = {"policy": policy, "episodes": episodes, "seed": seed, "discrete": discrete}
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"--recipe already sets {option}; --{option} cannot be used with it")
    recipe = find_recipe(name)
    if dataset is None and name in recipe.also:
        dataset = name
    return replace(recipe, dataset=dataset) if dataset else recipe
