"""Modules that are imported on first use.

Importing torch takes more than a second. The config of an algorithm is declared next to its
learner, and the command line needs only the configs. Algorithm files therefore import torch, and
the modules that need it, from here. Type checkers see ordinary imports.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch as torch

    from lunar_offline.agents import losses as losses
    from lunar_offline.agents import noise as noise
    from lunar_offline.agents import penalties as penalties
    from lunar_offline.agents.nn import action_sets as action_sets
    from lunar_offline.agents.nn import critics as critics
    from lunar_offline.agents.nn import device as device
    from lunar_offline.agents.nn import networks as networks
    from lunar_offline.agents.nn import optimizer as optimizer
    from lunar_offline.agents.nn import policies as policies
    from lunar_offline.agents.nn import precision as precision
    from lunar_offline.agents.nn import state_tensors as state
else:

    class _Lazy(ModuleType):
        def __getattr__(self, attribute: str) -> Any:
            module = import_module(self.__name__)
            self.__dict__.update(module.__dict__)  # later lookups need no import
            return getattr(module, attribute)

    torch = _Lazy("torch")
    losses = _Lazy("lunar_offline.agents.losses")
    noise = _Lazy("lunar_offline.agents.noise")
    penalties = _Lazy("lunar_offline.agents.penalties")
    action_sets = _Lazy("lunar_offline.agents.nn.action_sets")
    critics = _Lazy("lunar_offline.agents.nn.critics")
    device = _Lazy("lunar_offline.agents.nn.device")
    networks = _Lazy("lunar_offline.agents.nn.networks")
    optimizer = _Lazy("lunar_offline.agents.nn.optimizer")
    policies = _Lazy("lunar_offline.agents.nn.policies")
    precision = _Lazy("lunar_offline.agents.nn.precision")
    state = _Lazy("lunar_offline.agents.nn.state_tensors")
