"""Conservative penalties as pure functions over a base measure, and their weights.

A penalty compares a functional of Q over a base measure, represented by proposals, with Q at the
dataset's action. (The paper's code uses the mean over all actions as the data term instead, which
also raises the values of actions that are not in the data.) The measure is

- `actions`: the counting measure of the discrete actions, or the volume of the continuous ones,
  estimated by importance samples. Log weights 0, or -log density - log M.
- `policy`: the policy's probabilities. Log weights log pi, or -log M for samples of it.

Without the term -log M, an estimate would be too large by log M, 3.4 with 30 samples.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from lunar_offline.agents.nn.optimizer import Adam

MAX_FACTOR = 1e6


def logsumexp_gap(
    q_KPM: Tensor, log_weight_PM: Tensor, q_data_KP: Tensor, temperature: float = 1.0
) -> Tensor:
    """Return gap_KP = T logsumexp_m(Q / T + log_weight) - Q(s, a_data).

    Over the measure `actions` this is CQL(H), Eq. 4 of Kumar et al. 2020 and Eq. 17 of the paper.
    Over `policy` it is CQL(rho), with the policy before the update as the prior (section 3.2 of the
    CQL paper): its gradient averages that of Q with weights prior * exp(Q) / Z.
    """
    return temperature * torch.logsumexp(q_KPM / temperature + log_weight_PM, dim=2) - q_data_KP


def expected_value(q_KPM: Tensor, log_weight_PM: Tensor) -> Tensor:
    """Return E_mu[Q]_KP = sum_m weight * Q, the term of Eq. 1 of Kumar et al. 2020.

    Without a data term, the penalty makes Q a lower bound at every action, not only in expectation.
    """
    return (q_KPM * log_weight_PM.exp()).sum(2)


class Penalized(NamedTuple):
    """A penalty and its gradients.

    Attributes:
        value: averaged over the P states and summed over the K critics.
        g_KPM: gradient with respect to the values of the proposals.
        g_data: gradient with respect to each value of the dataset's actions.
    """

    value: Tensor
    g_KPM: Tensor
    g_data: float


class Penalty(Protocol):
    """The interface of a penalty."""

    @property
    def measure(self) -> Literal["actions", "policy"]:
        """The base measure; see the module."""
        ...

    def __call__(self, q_KPM: Tensor, log_weight_PM: Tensor, q_data_KP: Tensor) -> Penalized:
        """Return the penalty; `q_KPM` may be overwritten."""
        ...


@dataclass(frozen=True)
class LogSumExp:
    """`logsumexp_gap`, with the analytic gradient softmax(Q / T + log_weight) / P."""

    measure: Literal["actions", "policy"]
    temperature: float = 1.0

    def __call__(self, q_KPM: Tensor, log_weight_PM: Tensor, q_data_KP: Tensor) -> Penalized:
        """See Penalty."""
        p, t = q_KPM.shape[1], self.temperature
        weighted_KPM = (q_KPM if t == 1.0 else q_KPM / t) + log_weight_PM
        log_sum_KP = torch.logsumexp(weighted_KPM, dim=2)
        soft_maximum_KP = log_sum_KP if t == 1.0 else t * log_sum_KP
        value = (soft_maximum_KP - q_data_KP).sum() / p
        g_KPM = weighted_KPM.sub_(log_sum_KP.unsqueeze(2)).exp_().div_(p)
        return Penalized(value, g_KPM, -1.0 / p)


@dataclass(frozen=True)
class PointwiseBound:
    """`expected_value` under the policy, with the analytic gradient."""

    measure: Literal["actions", "policy"] = "policy"

    def __call__(self, q_KPM: Tensor, log_weight_PM: Tensor, q_data_KP: Tensor) -> Penalized:
        """See Penalty."""
        p = q_KPM.shape[1]
        share_PM = log_weight_PM.exp() / p
        return Penalized((q_KPM * share_PM).sum(), share_PM.expand_as(q_KPM).clone(), 0.0)


def make_penalty(name: str, temperature: float) -> Penalty | None:
    """Return a penalty by its name, None for `none`. Raises KeyError for an unknown name."""
    return {
        "cql-h": LogSumExp("actions", temperature),
        "cql-rho": LogSumExp("policy", temperature),
        "eq1": PointwiseBound(),
        "none": None,
    }[name]


def calibrate(q_KPM: Tensor, floor_P: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """Raise the values of policy proposals to at least the dataset's returns: max(Q, floor).

    Cal-QL (Nakamoto et al. 2023, Eq. 5.1): the penalty then never pushes a value below the return
    of the behavior policy from that state.

    Args:
        q_KPM: values of the proposals.
        floor_P: discounted returns from the P states; -inf where unknown.
        first: index of the first proposal from the policy; those before it are not changed.

    Returns:
        The raised values, and a mask of the same shape: 0 where a value was raised, so that its
        gradient is 0, else 1.
    """
    floor_PM = floor_P.unsqueeze(1).repeat(1, q_KPM.shape[2])
    floor_PM[:, :first] = -math.inf
    return torch.maximum(q_KPM, floor_PM), (q_KPM >= floor_PM).to(q_KPM.dtype)


def floor_of(returns: Tensor, p: int) -> Tensor:
    """Return the floor [P] for `calibrate`: returns [n_offline], then -inf for the other rows."""
    if len(returns) == p:
        return returns
    floor_P = returns.new_full((p,), -math.inf)
    floor_P[: len(returns)] = returns
    return floor_P


class Weight(Protocol):
    """The factor of the penalty."""

    def __call__(self, scale: float) -> Tensor | float:
        """Return the weight: `scale` times the learned factor."""
        ...

    def observe(self, gap: Tensor) -> None:
        """Update the factor from the penalty, averaged over states and critics."""

    def state(self) -> dict[str, Tensor]:
        """Return the tensors that the next step depends on, by name; no copies."""
        ...


class FixedWeight:
    """A weight that is always `scale`."""

    def __call__(self, scale: float) -> float:
        """See Weight."""
        return scale

    def observe(self, gap: Tensor) -> None:
        """Ignore the penalty."""

    def state(self) -> dict[str, Tensor]:
        """Return an empty dict."""
        return {}


class LagrangeWeight:
    """`scale` times a factor that rises while the gap is above a threshold, and falls below it.

    The objective is factor * (gap - threshold), d3rlpy's and CORL's convention, maximized over
    log(factor), which starts at 0; see `lagrange_threshold` for other conventions.

    Args:
        threshold: target gap, per critic.
        learning_rate: learning rate of Adam.
        device: where the factor is stored.
    """

    def __init__(self, threshold: float, learning_rate: float, device: torch.device) -> None:
        self.threshold = threshold
        self.log_factor = torch.zeros((), device=device)
        self.optimizer = Adam(self.log_factor, learning_rate)

    def __call__(self, scale: float) -> Tensor:
        """See Weight."""
        return scale * self.log_factor.exp().clamp(max=MAX_FACTOR)

    def observe(self, gap: Tensor) -> None:
        """Take one step of dual ascent."""
        self.optimizer.step(-self(1.0) * (gap - self.threshold))

    def state(self) -> dict[str, Tensor]:
        """See Weight."""
        return {"log_factor": self.log_factor} | self.optimizer.state


def lagrange_threshold(published: float, *, penalty_weight: float = 1.0, samples: int = 1) -> float:
    """Convert a published threshold to `LagrangeWeight`'s.

    Args:
        published: the threshold in the reference.
        penalty_weight: the penalty's weight, where the reference uses weight * gap - threshold, as
            the CQL authors do; 1 where it uses gap - threshold (CORL, d3rlpy).
        samples: number of continuous actions in the reference's logsumexp if it does not divide by
            that number, 30 or 31 in those three; 1 for discrete actions.
    """
    return published / penalty_weight - math.log(samples)
