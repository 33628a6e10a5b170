"""Offline datasets and CQL-SAC for Gymnasium's LunarLander-v3, built on Minari.

The names in `__all__` are the public API; everything else may change. They are imported on first
use, because torch and gymnasium take seconds to import. Type checkers see ordinary imports.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lunar_offline.agents.learner import Learner as Learner
    from lunar_offline.agents.registry import register_algorithm as register_algorithm
    from lunar_offline.api.data import collect as collect
    from lunar_offline.api.data import list_datasets as list_datasets
    from lunar_offline.api.data import load_dataset as load_dataset
    from lunar_offline.api.data import verify as verify
    from lunar_offline.api.runs import compare as compare
    from lunar_offline.api.runs import evaluate as evaluate
    from lunar_offline.api.runs import train as train
    from lunar_offline.datasets.dataset import Dataset as Dataset
    from lunar_offline.envs.env_info import EnvInfo as EnvInfo
    from lunar_offline.envs.registry import register_env as register_env
    from lunar_offline.errors import DivergedError as DivergedError
    from lunar_offline.errors import LunarOfflineError as LunarOfflineError
    from lunar_offline.errors import RefusedError as RefusedError
    from lunar_offline.errors import RemoteError as RemoteError
    from lunar_offline.errors import UsageError as UsageError
    from lunar_offline.evaluation.summary import Evaluation as Evaluation
    from lunar_offline.policies.policy import Policy as Policy
    from lunar_offline.policies.policy import load_policy as load_policy
    from lunar_offline.training.config import TrainConfig as TrainConfig
    from lunar_offline.training.mixed_sampler import MixedSampler as MixedSampler
    from lunar_offline.training.replay_buffer import ReplayBuffer as ReplayBuffer
    from lunar_offline.training.rho import split_batch as split_batch
    from lunar_offline.training.run import Run as Run
    from lunar_offline.transitions import Transitions as Transitions

    __version__: str
else:
    from importlib import import_module

    _HOMES = {
        "Learner": "agents.learner",
        "register_algorithm": "agents.registry",
        "collect": "api.data",
        "list_datasets": "api.data",
        "load_dataset": "api.data",
        "verify": "api.data",
        "compare": "api.runs",
        "evaluate": "api.runs",
        "train": "api.runs",
        "Dataset": "datasets.dataset",
        "EnvInfo": "envs.env_info",
        "register_env": "envs.registry",
        "DivergedError": "errors",
        "LunarOfflineError": "errors",
        "RefusedError": "errors",
        "RemoteError": "errors",
        "UsageError": "errors",
        "Evaluation": "evaluation.summary",
        "Policy": "policies.policy",
        "load_policy": "policies.policy",
        "TrainConfig": "training.config",
        "MixedSampler": "training.mixed_sampler",
        "ReplayBuffer": "training.replay_buffer",
        "split_batch": "training.rho",
        "Run": "training.run",
        "Transitions": "transitions",
    }
    __all__ = ["__version__", *sorted(_HOMES)]

    def __getattr__(name: str) -> object:
        """Import a public name on first use."""
        if name == "__version__":
            from importlib.metadata import version

            return version("lunar-offline")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        return __all__
