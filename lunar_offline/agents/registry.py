"""The algorithms by name; each file in `agents/algorithms` registers one."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from functools import cache
from importlib import import_module

from lunar_offline.agents.learner import Algorithm, Learner
from lunar_offline.agents.learner_config import LearnerConfig
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.errors import UsageError
from lunar_offline.options import did_you_mean


@cache
def algorithms() -> dict[str, Algorithm]:
    """Return the algorithms by name, sorted."""
    package = import_module("lunar_offline.agents.algorithms")
    found: list[Algorithm] = [
        import_module(f"{package.__name__}.{module.name}").ALGORITHM
        for module in pkgutil.iter_modules(package.__path__)
    ]
    return {algorithm.name: algorithm for algorithm in sorted(found, key=lambda a: a.name)}


def find_algorithm(name: str) -> Algorithm:
    """Return an algorithm by its name. Raises UsageError for an unknown name."""
    if name not in algorithms():
        names = algorithms()
        hint = did_you_mean(name, names)
        raise UsageError(f"algorithm {name!r:.80} is not one of {', '.join(names)}{hint}")
    return algorithms()[name]


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
