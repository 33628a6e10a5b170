"""The tensors of networks and optimizers, by name, for checkpoints."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lunar_offline.agents.nn.optimizer import Adam


def named_state(
    modules: Mapping[str, nn.Module], optimizers: Mapping[str, Adam]
) -> dict[str, Tensor]:
    """Return the tensors of modules and optimizers, by name."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for name, stepper in optimizers.items():
        tensors |= {f"optimizer.{name}.{key}": v for key, v in stepper.state.items()}
    return tensors


def load_state(
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Adam],
    tensors: Mapping[str, Tensor],
) -> None:
    """Load the result of `named_state` in place.

    Raises:
        KeyError: a tensor is missing.
        RuntimeError: a tensor has another shape.
    """
    for name, module in modules.items():
        module.load_state_dict({key: tensors[f"{name}.{key}"] for key in module.state_dict()})
    with torch.no_grad():
        for name, stepper in optimizers.items():
            for key, value in stepper.state.items():
                value.copy_(tensors[f"optimizer.{name}.{key}"])
