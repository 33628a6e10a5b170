"""Shell completion for the values of options."""

from collections.abc import Callable
from pathlib import Path

from lunar_offline.options import Option
from lunar_offline.policies import SHIPPED

Complete = Callable[[str], list[str]]


def of(about: Option) -> Complete | None:
    """Return the function that completes an option's value; None if there is none."""
    if about.choices:
        return lambda incomplete: _starting(about.choices, incomplete)
    known = {"datasets": datasets, "runs": runs, "algorithms": algorithms}
    return known.get(about.completes)


def _starting(values: tuple[str, ...] | list[str], incomplete: str) -> list[str]:
    return [value for value in values if value.startswith(incomplete)]


def datasets(incomplete: str) -> list[str]:
    """Return the ids of local datasets that start with a text."""
    from lunar_offline.datasets.ids import local_ids

    return _starting(local_ids(), incomplete)


def algorithms(incomplete: str) -> list[str]:
    """Return the names of algorithms that start with a text."""
    from lunar_offline.agents import registry

    return _starting(list(registry.algorithms()), incomplete)


def runs(incomplete: str) -> list[str]:
    """Return the run directories below runs/ that start with a text."""
    found = sorted(str(path.parent) for path in Path("runs").glob("**/config.toml"))
    return _starting(found, incomplete)


def policies(incomplete: str) -> list[str]:
    """Return the bundled policies and the run directories that start with a text."""
    return _starting([*SHIPPED, *runs("")], incomplete)
