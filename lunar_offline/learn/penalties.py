"""Conservative penalties as pure functions over a base measure."""

import torch
from torch import Tensor


def logsumexp_gap(q_KPM: Tensor, log_weight_PM: Tensor, q_data_KP: Tensor) -> Tensor:
    """Return gap_KP = logsumexp_m(Q + log_weight) - Q(s, a_data): CQL(H), the paper's Eq. 17.

    With log_weight 0 over all discrete actions the sum is exact. With samples of density d,
    log_weight = -log d - log M makes it an estimate of log of the integral of exp Q over the action
    space; without the log M the gap would be shifted by log M, 3.4 at 30 samples.

    The data term is Q at the dataset's own action. (The paper's code takes the mean over all
    actions instead, which also pulls up actions that nobody took.)
    """
    return torch.logsumexp(q_KPM + log_weight_PM, dim=2) - q_data_KP


def logsumexp_gap_and_gradient(
    q_KPM: Tensor, log_weight_PM: Tensor, q_data_KP: Tensor
) -> tuple[Tensor, Tensor, float]:
    """Return the penalty, `logsumexp_gap` averaged over P and summed over K, and its gradients.

    The gradient in q_KPM is softmax(Q + log_weight) / P, that in every q_data_KP is -1 / P.
    """
    p = q_KPM.shape[1]
    weighted_KPM = q_KPM + log_weight_PM
    log_sum_KP = torch.logsumexp(weighted_KPM, dim=2)
    penalty = (log_sum_KP - q_data_KP).sum() / p
    return penalty, weighted_KPM.sub_(log_sum_KP.unsqueeze(2)).exp_().div_(p), -1.0 / p
