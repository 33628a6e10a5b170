"""Adam on one flat parameter."""

import torch
from torch import Tensor

_fused_adam_ = torch.ops.aten._fused_adam_


class Adam:
    """torch's fused Adam without the bookkeeping of `torch.optim.Adam`, and with the same bits.

    That bookkeeping (parameter groups, hooks, device sorting) costs as much as the kernel itself on
    a parameter of this size.

    Args:
        parameter: stepped in place.
        learning_rate: betas are 0.9 and 0.999, epsilon 1e-8 (Kingma and Ba 2015).

    Attributes:
        parameter: the very tensor that is stepped.
        state: `exp_avg`, `exp_avg_sq` and `step` (a scalar tensor), on the parameter's device.
    """

    def __init__(self, parameter: Tensor, learning_rate: float) -> None:
        self.parameter, self._learning_rate = parameter, learning_rate
        self.state = {
            "exp_avg": torch.zeros_like(parameter, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
            "step": torch.zeros((), device=parameter.device),
        }

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Move the parameter against `gradient`, a tensor of its shape."""
        self.state["step"] += 1
        _fused_adam_(
            [self.parameter],
            [gradient],
            [self.state["exp_avg"]],
            [self.state["exp_avg_sq"]],
            [],
            [self.state["step"]],
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
