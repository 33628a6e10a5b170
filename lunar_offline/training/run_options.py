"""The options of a run as a flat list, which the command line and the Python API share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lunar_offline.agents.learner import Algorithm
from lunar_offline.agents.registry import algorithms
from lunar_offline.options import Option, options_of
from lunar_offline.training.config import TrainConfig

Flags = Mapping[str, tuple[Any, Any, Option]]
"""The type, default and Option of options, by name."""


def run_options() -> Flags:
    """Return the options of a run that have their own command-line flag."""
    return {name: found for name, found in options_of(TrainConfig).items() if found[2].main}


def agent_options(known: Mapping[str, Algorithm] | None = None) -> Flags:
    """Return the options of algorithms that have their own command-line flag.

    Args:
        known: the algorithms by name; None takes all, and imports the code of installed ones.
    """
    found: dict[str, tuple[Any, Any, Option]] = {}
    for algorithm in (algorithms() if known is None else known).values():
        for name, about in options_of(algorithm.config).items():
            if about[2].main:
                found.setdefault(name, about)
    return {name: about for name, about in found.items() if name not in options_of(TrainConfig)}


def implied(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the algorithm's options that follow from those that the user gave."""
    flags = agent_options()
    pairs = [flags[name][2].implies for name in given if name in flags]
    return dict(pair for pair in pairs if pair is not None)


def as_table(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options in the layout of config.toml: those of an algorithm in the table `agent`."""
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name in options_of(TrainConfig) or name == "agent":
            values[name] = value
        else:
            values.setdefault("agent", {})[name] = value
    return values


def default_run_path(config: TrainConfig) -> Path:
    """Return the run directory of a config whose user names none, below runs/."""
    source = config.dataset.replace("/", "-")
    source = source or f"online-{'discrete' if config.discrete else 'continuous'}"
    return Path("runs") / f"{config.algorithm}-{source}-rho{config.rho:g}-s{config.seed}"
