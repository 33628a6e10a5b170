"""The algorithms by name: those of this package, of installed packages, and of the user's calls.

Each file in `agents/algorithms` registers one. An installed package offers one through an entry
point of the group `lunar_offline.algorithms`, a script through `register_algorithm`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from functools import cache
from importlib import import_module

from lunar_offline.agents import installed_algorithms as installed
from lunar_offline.agents.check_algorithm import check_algorithm
from lunar_offline.agents.learner import Algorithm, Learner
from lunar_offline.agents.learner_config import LearnerConfig
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.errors import UsageError
from lunar_offline.options import did_you_mean

_called: dict[str, Algorithm] = {}  # of `register_algorithm`


@cache
def shipped_algorithms() -> dict[str, Algorithm]:
    """Return the algorithms of this package by name."""
    package = import_module("lunar_offline.agents.algorithms")
    found: list[Algorithm] = [
        import_module(f"{package.__name__}.{module.name}").ALGORITHM
        for module in pkgutil.iter_modules(package.__path__)
    ]
    return {algorithm.name: algorithm for algorithm in found}


def register_algorithm(algorithm: Algorithm) -> None:
    """Make an algorithm known to this process under its name; see docs/your-own-algorithm.md.

    Example:
        >>> from dataclasses import replace
        >>> import lunar_offline as lo
        >>> from lunar_offline.agents.registry import find_algorithm
        >>> lo.register_algorithm(replace(find_algorithm("bc"), name="cloning"))
        >>> options = {"algorithm": "cloning", "rho": 1, "updates": 5, "out": "runs/cloning"}
        >>> lo.train("lunar-random-v0", **options).config.algorithm
        'cloning'

    The command line and the runs of a sweep are other processes. For them, a package offers the
    algorithm through an entry point of the group `lunar_offline.algorithms`.

    Args:
        algorithm: its name, config, learner and metrics. The same one again changes nothing. One
            whose learner has the same module and name as before replaces the earlier one, as when
            a cell of a notebook runs again.

    Raises:
        UsageError: another algorithm has the name, or a part of it is invalid.
    """
    check_algorithm(algorithm, {**shipped_algorithms(), **_called})
    known = _called.get(algorithm.name) or shipped_algorithms().get(algorithm.name)
    if known and _origin(known) != _origin(algorithm):
        raise UsageError(
            f"algorithm {algorithm.name!r} is registered already, by {known.learner.__module__}; "
            "choose another name"
        )
    if algorithm.name not in shipped_algorithms():
        _called[algorithm.name] = algorithm


def _origin(algorithm: Algorithm) -> tuple[str, str]:
    return algorithm.learner.__module__, algorithm.learner.__qualname__


def algorithms() -> dict[str, Algorithm]:
    """Return all algorithms by name, sorted. This imports the code of installed ones."""
    known = {**shipped_algorithms(), **_called}
    found = {**installed.algorithms(known), **known}
    return {name: found[name] for name in sorted(found)}


def algorithm_names() -> list[str]:
    """Return the names of all algorithms, sorted, without an import of installed ones."""
    return sorted({*shipped_algorithms(), *_called, *installed.names()})


def find_algorithm(name: str) -> Algorithm:
    """Return an algorithm by its name. Raises UsageError for an unknown name."""
    found = _called.get(name) or shipped_algorithms().get(name) or algorithms().get(name)
    if found is None:
        names = algorithms()
        hint = did_you_mean(name, names)
        raise UsageError(
            f"algorithm {name!r:.80} is not one of {', '.join(names)}"
            f"{hint or '; install or register one of your own'}"
        )
    return found


def make_learner(
    algorithm: str,
    config: LearnerConfig,
    spec: ActionSpec,
    observation_size: int,
    seed: int,
    device: str = "cpu",
    *,
    bf16: bool = False,
) -> Learner:
    """Build a newly initialized learner of an algorithm.

    Args:
        algorithm: its name.
        config: its hyperparameters.
        spec: the action space.
        observation_size: D.
        seed: seed of the run.
        device: where the tensors are stored.
        bf16: see `precision.bf16_products`.

    Raises:
        UsageError: the algorithm is unknown.
    """
    make: Callable[..., Learner] = find_algorithm(algorithm).learner
    return make(config, spec, observation_size, seed, device, bf16=bf16)
