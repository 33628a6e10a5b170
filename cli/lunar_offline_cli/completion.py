"""Shell completion for the values of options."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lunar_offline.options import Option, options_of
from lunar_offline.policies import SHIPPED
from lunar_offline.training.trackers.registry import CHOICES

Complete = Callable[[str], list[str]]


def of(about: Option) -> Complete | None:
    """Return the function that completes an option's value; None if there is none."""
    if about.choices:
        return one_of(*about.choices)
    known = {"datasets": datasets, "runs": runs, "algorithms": algorithms, "envs": envs}
    return known.get(about.completes)


def _starting(values: tuple[str, ...] | list[str], incomplete: str) -> list[str]:
    return [value for value in values if value.startswith(incomplete)]


def one_of(*values: str) -> Complete:
    """Return the function that completes one of a few values."""
    return lambda incomplete: _starting(values, incomplete)


def datasets(incomplete: str) -> list[str]:
    """Return the ids of local datasets that start with a text."""
    from lunar_offline.datasets.ids import local_ids

    return _starting(local_ids(), incomplete)


def algorithms(incomplete: str) -> list[str]:
    """Return the names of algorithms that start with a text."""
    from lunar_offline.agents import registry

    return _starting(registry.algorithm_names(), incomplete)


def envs(incomplete: str) -> list[str]:
    """Return the Gymnasium ids that start with a text, the registered envs first."""
    import gymnasium

    from lunar_offline.envs.registry import registered_envs

    ours = [env.env_id for env in registered_envs()]
    return _starting([*dict.fromkeys([*ours, *sorted(gymnasium.registry)])], incomplete)


def runs(incomplete: str) -> list[str]:
    """Return the run directories near the current one and below runs/ that start with a text."""
    found = {str(path.parent) for path in Path("runs").glob("**/config.toml")}
    for pattern in ("[!.]*/config.toml", "[!.]*/[!.]*/config.toml"):
        found |= {str(path.parent) for path in Path().glob(pattern)}
    return _starting(sorted(found), incomplete)


def comparable(incomplete: str) -> list[str]:
    """Return the run directories, and the folders of several, that start with a text."""
    single = runs("")
    parents = Counter(str(Path(run).parent) for run in single)
    sweeps = [parent for parent, count in parents.items() if count > 1 and parent != "."]
    return _starting([*sorted(sweeps), *single], incomplete)


def trackers(incomplete: str) -> list[str]:
    """Return the trackers that a list starting with a text may go on with."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _starting(CHOICES, last)]


def policies(incomplete: str) -> list[str]:
    """Return the bundled policies and the run directories that start with a text."""
    return _starting([*SHIPPED, *runs("")], incomplete)


def recipes(incomplete: str) -> list[str]:
    """Return the ids of the bundled recipes that start with a text."""
    from lunar_offline.storage.package_data import shipped_recipes

    return _starting(list(shipped_recipes()), incomplete)


def keys(incomplete: str) -> list[str]:
    """Return KEY= for each key of config.toml that starts with a text."""
    from lunar_offline.agents.registry import algorithms as known
    from lunar_offline.training.config import TrainConfig

    found = {f"agent.{key}=" for one in known().values() for key in options_of(one.config)}
    return _starting(sorted({f"{key}=" for key in options_of(TrainConfig)} | found), incomplete)
