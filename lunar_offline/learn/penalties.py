"""Conservative penalties as pure functions over a base measure, and their weights.

A penalty compares a functional of Q over a base measure, the proposals, with Q at the dataset's own
action. (The paper's code takes the mean over all actions as the data term instead, which also pulls
up actions that nobody took.) The measure is

- `actions`: the counting measure of the discrete actions, or the volume of the continuous ones,
  estimated by importance samples. Log weights 0, or -log density - log M.
- `policy`: the policy's own probability. Log weights log pi, or -log M for samples of it.

Without the -log M an estimate would be shifted by log M, 3.4 at 30 samples.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from lunar_offline.learn.adam import Adam

MAX_FACTOR = 1e6


def logsumexp_gap(
    q_KPM: Tensor, log_weight_PM: Tensor, q_data_KP: Tensor, temperature: float = 1.0
) -> Tensor:
    """Return gap_KP = T logsumexp_m(Q / T + log_weight) - Q(s, a_data).

    Over the measure `actions` this is CQL(H), Eq. 4 of Kumar et al. 2020 and Eq. 17 of the paper.
    Over `policy` it is CQL(rho), whose gradient takes Q as the average under rho exp(Q) / Z, the
    softmax-weighted form (there, section 3.2): rho is the policy before the update.
    """
    return temperature * torch.logsumexp(q_KPM / temperature + log_weight_PM, dim=2) - q_data_KP


def expected_value(q_KPM: Tensor, log_weight_PM: Tensor) -> Tensor:
    """Return E_mu[Q]_KP = sum_m weight * Q, the term of Eq. 1 of Kumar et al. 2020.

    With no data term it bounds Q from below at every action, not only in expectation.
    """
    return (q_KPM * log_weight_PM.exp()).sum(2)


class Penalised(NamedTuple):
    """A penalty and its gradients.

    Attributes:
        value: averaged over the P states and summed over the K critics.
        g_KPM: gradient in the values of the proposals.
        g_data: gradient in each of the data's values.
    """

    value: Tensor
    g_KPM: Tensor
    g_data: float


class Penalty(Protocol):
    """What an agent asks of a penalty."""

    @property
    def measure(self) -> Literal["actions", "policy"]:
        """The base measure."""
        ...

    def __call__(self, q_KPM: Tensor, log_weight_PM: Tensor, q_data_KP: Tensor) -> Penalised:
        """Return the penalty; `q_KPM` may be overwritten."""
        ...


@dataclass(frozen=True)
class LogSumExp:
    """`logsumexp_gap`, with the gradient softmax(Q / T + log_weight) / P written out."""

    measure: Literal["actions", "policy"]
    temperature: float = 1.0

    def __call__(self, q_KPM: Tensor, log_weight_PM: Tensor, q_data_KP: Tensor) -> Penalised:
        """See Penalty."""
        p, t = q_KPM.shape[1], self.temperature
        weighted_KPM = (q_KPM if t == 1.0 else q_KPM / t) + log_weight_PM
        log_sum_KP = torch.logsumexp(weighted_KPM, dim=2)
        soft_maximum_KP = log_sum_KP if t == 1.0 else t * log_sum_KP
        value = (soft_maximum_KP - q_data_KP).sum() / p
        g_KPM = weighted_KPM.sub_(log_sum_KP.unsqueeze(2)).exp_().div_(p)
        return Penalised(value, g_KPM, -1.0 / p)


@dataclass(frozen=True)
class PointwiseBound:
    """`expected_value` under the policy, with its gradient."""

    measure: Literal["actions", "policy"] = "policy"

    def __call__(self, q_KPM: Tensor, log_weight_PM: Tensor, q_data_KP: Tensor) -> Penalised:
        """See Penalty."""
        p = q_KPM.shape[1]
        share_PM = log_weight_PM.exp() / p
        return Penalised((q_KPM * share_PM).sum(), share_PM.expand_as(q_KPM).clone(), 0.0)


PENALTIES = ("cql-h", "cql-rho", "eq1", "none")


def make_penalty(name: str, temperature: float) -> Penalty | None:
    """Return the penalty of a name in PENALTIES. Raises KeyError for another name."""
    return {
        "cql-h": LogSumExp("actions", temperature),
        "cql-rho": LogSumExp("policy", temperature),
        "eq1": PointwiseBound(),
        "none": None,
    }[name]


def calibrate(q_KPM: Tensor, floor_P: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """Raise the values of policy proposals to the data's own returns: max(Q, floor).

    Cal-QL (Nakamoto et al. 2023, Eq. 5.1): the penalty then never pushes a value below what the
    behavior policy got from that state.

    Args:
        q_KPM: values of the proposals.
        floor_P: discounted returns from the P states; -inf where none is known.
        first: index of the first proposal that is the policy's; those before it are left alone.

    Returns:
        The raised values, and 0 where a value was raised (its gradient stops there), else 1.
    """
    floor_PM = floor_P.unsqueeze(1).repeat(1, q_KPM.shape[2])
    floor_PM[:, :first] = -math.inf
    return torch.maximum(q_KPM, floor_PM), (q_KPM >= floor_PM).to(q_KPM.dtype)


class Weight(Protocol):
    """What multiplies the penalty."""

    def __call__(self, scale: float) -> Tensor | float:
        """Return the weight, `scale` times what was learned."""
        ...

    def observe(self, gap: Tensor) -> None:
        """Hear of the penalty, averaged over states and critics."""

    def state(self) -> dict[str, Tensor]:
        """Return what the next step depends on, by name; the tensors themselves."""
        ...


class FixedWeight:
    """The scale itself."""

    def __call__(self, scale: float) -> float:
        """See Weight."""
        return scale

    def observe(self, gap: Tensor) -> None:
        """Ignore."""

    def state(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}


class LagrangeWeight:
    """`scale` times a factor that rises while the gap is above a threshold, and falls below it.

    The objective is factor * (gap - threshold), d3rlpy's and CORL's convention, maximised in
    log(factor), which starts at 0; see `lagrange_threshold` for other conventions.

    Args:
        threshold: wanted gap, per critic.
        learning_rate: Adam's.
        device: of the factor.
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
        factor = self.log_factor.exp().clamp(max=MAX_FACTOR)
        self.optimizer.step(-factor * (gap - self.threshold))

    def state(self) -> dict[str, Tensor]:
        """See Weight."""
        return {"log_factor": self.log_factor} | self.optimizer.state


def lagrange_threshold(published: float, *, penalty_weight: float = 1.0, samples: int = 1) -> float:
    """Convert a published threshold to `LagrangeWeight`'s.

    Args:
        published: as the reference states it.
        penalty_weight: the CQL authors' weight, where the reference compares
            weight * gap - threshold as they do; 1 where it compares gap - threshold (CORL, d3rlpy).
        samples: how many continuous actions its logsumexp runs over without dividing by their
            number, 30 or 31 in those three; 1 for discrete actions.
    """
    return published / penalty_weight - math.log(samples)
