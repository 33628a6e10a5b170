"""What every algorithm has in common: its hyperparameters, its batches, its interface."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lunar_offline.learn.adam import Adam
from lunar_offline.learn.losses import lerp_
from lunar_offline.learn.penalties import FixedWeight, LagrangeWeight, Weight
from lunar_offline.learn.policies import Policy


@dataclass(frozen=True)
class AgentConfig:
    """Hyperparameters of the update. Presets stand in `experiment.config`.

    Attributes:
        hidden: widths of the hidden layers, of policy and critics alike.
        layer_norm: LayerNorm in the critics.
        n_critics: size of the ensemble; the minimum over it is used everywhere, but see
            `target_subset`.
        learning_rate: Adam's, for policy, critics and temperature.
        discount: of the return, per env step.
        tau: share of the new parameters in each target update.
        initial_temperature: of the entropy bonus.
        entropy_fraction: discrete target entropy as a fraction of ln(actions).
        entropy_per_dimension: continuous target entropy over the number of action dimensions, in
            nats; -1 is that of SAC.
        n_proposals: continuous: samples per proposal distribution of the penalty (three of them).
        max_grad_norm: clip of the critics' gradient norm; 0 is off.
        policy_tau: share of the new policy in each update of the averaged one, which is the policy
            that is judged and saved; 1 is no average.
        target_subset: critics drawn anew for each update, whose minimum is the target's value
            (REDQ, Chen et al. 2021; the policy then follows the mean of all); 0 is all of them.
        forward_kl: discrete: add `losses.forward_kl` of the penalised rows to the policy's loss.
        cloning_weight: of -log pi(a | s) in the policy's loss, over the penalised rows.
        penalty_temperature: T of the penalty's T logsumexp(Q / T).
        lagrange: learn the penalty's weight, by dual ascent on the gap.
        lagrange_threshold: the gap that it is held to, per critic; see `LagrangeWeight`.
        calibrated: never push a value below the data's own return (Cal-QL).
        quasi_random: continuous: proposals from randomly shifted lattices, not independent ones.
    """

    hidden: tuple[int, ...] = (256, 256)
    layer_norm: bool = True
    n_critics: int = 2
    learning_rate: float = 3e-4
    discount: float = 0.99
    tau: float = 0.005
    initial_temperature: float = 1.0
    entropy_fraction: float = 0.3
    entropy_per_dimension: float = -1.0
    n_proposals: int = 10
    max_grad_norm: float = 0.0
    policy_tau: float = 1.0
    target_subset: int = 0
    forward_kl: bool = False
    cloning_weight: float = 0.0
    penalty_temperature: float = 1.0
    lagrange: bool = False
    lagrange_threshold: float = 1.0
    calibrated: bool = False
    quasi_random: bool = False


class Batch(NamedTuple):
    """Tensors of one batch; the first `n_penalised` rows take part in the CQL penalty.

    Attributes:
        observations: float32 [B, D].
        actions: int64 [B] or float32 [B, A].
        rewards: float32 [B].
        next_observations: float32 [B, D].
        terminations: bool [B].
        n_penalised: 0 .. B.
        returns: float32 [n_penalised], the data's discounted returns from those rows, -inf where
            none is known; None without calibration.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminations: Tensor
    n_penalised: int
    returns: Tensor | None = None


class Learner(Protocol):
    """An algorithm as the training loop sees it.

    Attributes:
        update_step: updates taken.
        device: where batches go.
    """

    update_step: int
    device: torch.device

    @property
    def policy(self) -> Policy:
        """What acts while it trains."""
        ...

    @property
    def average(self) -> "PolicyAverage":
        """What is judged and saved."""
        ...

    def update(self, batch: Batch, penalty_weight: float) -> dict[str, Tensor]:
        """Take one step; return detached scalars by metric name."""
        ...

    def state_tensors(self) -> dict[str, Tensor]:
        """Return every tensor that the next update depends on, by name; `update_step` apart."""
        ...

    def load_state_tensors(self, tensors: dict[str, Tensor], update_step: int) -> None:
        """Put `state_tensors()` back. Raises KeyError or RuntimeError when they do not fit."""
        ...


@runtime_checkable
class ValueLearner(Learner, Protocol):
    """A learner with critics.

    Attributes:
        greedy: its critics are of the greedy policy, not of the one that acts while it trains.
    """

    greedy: bool

    def values(self, observations_BD: Tensor) -> Tensor:
        """Return what the critics say the policy will get from B states: its soft value [B]."""
        ...

    def entropy_bonus(self, observations_BD: Tensor, actions: Tensor) -> Tensor:
        """Return what the soft value adds to the reward of each action, [B]."""
        ...


def make_weight(config: AgentConfig, device: torch.device) -> Weight:
    """Return the weight of the penalty that a config asks for."""
    if config.lagrange:
        return LagrangeWeight(config.lagrange_threshold, config.learning_rate, device)
    return FixedWeight()


class PolicyAverage:
    """An exponential average of a policy's parameters (Polyak and Juditsky 1992).

    Args:
        policy: what is averaged.
        tau: share of the new parameters in each step; 1 is no average.

    Attributes:
        policy: the average, or with tau 1 the very policy.
    """

    def __init__(self, policy: Policy, tau: float) -> None:
        self._source, self._tau = policy, tau
        self.policy: Policy = policy
        if tau < 1.0:
            self.policy = copy.deepcopy(policy).requires_grad_(False)

    def step(self) -> None:
        """Follow the policy by one update."""
        if self.policy is not self._source:
            lerp_(self.policy.net.flat, self._source.net.flat, self._tau)

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return what a checkpoint must hold beside the policy."""
        return {"averaged_policy": self.policy} if self.policy is not self._source else {}


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device; the host does not wait for a GPU to have it."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def named_state(
    modules: Mapping[str, torch.nn.Module], optimizers: Mapping[str, Adam]
) -> dict[str, Tensor]:
    """Return the tensors of modules and optimizers by name."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        tensors |= {f"optimizer.{name}.{key}": v for key, v in optimizer.state.items()}
    return tensors


def load_state(
    modules: Mapping[str, torch.nn.Module],
    optimizers: Mapping[str, Adam],
    tensors: Mapping[str, Tensor],
) -> None:
    """Put `named_state` back. Raises KeyError or RuntimeError when it does not fit."""
    for name, module in modules.items():
        module.load_state_dict({key: tensors[f"{name}.{key}"] for key in module.state_dict()})
    with torch.no_grad():
        for name, optimizer in optimizers.items():
            for key, value in optimizer.state.items():
                value.copy_(tensors[f"optimizer.{name}.{key}"])
