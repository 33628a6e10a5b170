"""The losses of SAC as pure functions: tensors in, tensor out.

Shapes: q_KBN holds the values that K critics give N actions at B states. Each loss is followed by
a version that also returns its analytic gradient; tests compare the two through autograd.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor

from lunar_offline.agents.nn.action_sets import ActionSet


def soft_value(q_KBN: Tensor, action_set: ActionSet, temperature: Tensor | float) -> Tensor:
    """Return v_B = sum_n weight * (min_k Q - temperature * log pi), the soft state value.

    Discrete: the exact expectation (Christodoulou 2019, Eq. 3); continuous: the mean over samples
    (the paper's Eqs. 11 and 13).
    """
    soft_q_BN = q_KBN.min(0).values - temperature * action_set.log_prob_BN
    return (action_set.weight_BN * soft_q_BN).sum(1)


def td_target(
    rewards_B: Tensor, terminations_B: Tensor, next_value_B: Tensor, discount: float
) -> Tensor:
    """Return y_B = r + discount * (1 - terminated) * v(s') (the paper's Eq. 11).

    `terminations_B` is bool. Targets bootstrap through truncations.
    """
    return rewards_B + discount * next_value_B * ~terminations_B


def critic_loss(q_KB: Tensor, td_target_B: Tensor) -> Tensor:
    """Return sum_k 1/2 mean_b (Q_k - y)^2, the TD term of the paper's Eq. 17 and CQL's Eq. 4."""
    return 0.5 * (q_KB - td_target_B).square().mean(1).sum()


def critic_loss_and_gradient(q_KB: Tensor, td_target_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return `critic_loss` and its gradient with respect to q_KB, (Q_k - y) / B."""
    error_KB = q_KB - td_target_B
    gradient_KB = error_KB / q_KB.shape[1]
    return 0.5 * torch.dot(error_KB.flatten(), gradient_KB.flatten()), gradient_KB


def quantile_loss(z_BQ: Tensor, target_BR: Tensor) -> Tensor:
    """Return the quantile Huber loss (Dabney et al. 2018, Eq. 10, kappa 1).

    This is the batch mean of sum_q mean_r |tau_q - 1[u < 0]| huber(u), with u = target_r - z_q and
    tau_q = (q + 1/2) / Q.
    """
    u_BQR = target_BR.unsqueeze(1) - z_BQ.unsqueeze(2)
    huber = torch.where(u_BQR.abs() <= 1.0, 0.5 * u_BQR.square(), u_BQR.abs() - 0.5)
    return (_quantile_weight(u_BQR) * huber).mean(2).sum(1).mean()


def quantile_loss_and_gradient(z_BQ: Tensor, target_BR: Tensor) -> tuple[Tensor, Tensor]:
    """Return `quantile_loss` and its gradient with respect to z_BQ."""
    u_BQR = target_BR.unsqueeze(1) - z_BQ.unsqueeze(2)
    slope = u_BQR.clamp(-1.0, 1.0)
    weight = _quantile_weight(u_BQR)
    loss = (weight * slope * (u_BQR - 0.5 * slope)).mean(2).sum(1).mean()  # huber = s (u - s / 2)
    return loss, -(weight * slope).mean(2) / len(z_BQ)


def _quantile_weight(u_BQR: Tensor) -> Tensor:
    q = u_BQR.shape[1]
    tau_Q1 = ((torch.arange(q, device=u_BQR.device) + 0.5) / q).unsqueeze(1)
    return (tau_Q1 - (u_BQR < 0.0).to(u_BQR.dtype)).abs()


def policy_loss(q_KBN: Tensor, action_set: ActionSet, temperature: Tensor | float) -> Tensor:
    """Return -mean_b of the soft value (the paper's Eq. 13, to be minimized)."""
    return -soft_value(q_KBN, action_set, temperature).mean()


class PolicyLossGradient(NamedTuple):
    """Gradients of `policy_loss` with respect to the values and the tensors of the action set."""

    q_KBN: Tensor
    log_prob_BN: Tensor
    weight_BN: Tensor


def policy_loss_and_gradient(
    q_KBN: Tensor, action_set: ActionSet, temperature: Tensor
) -> tuple[Tensor, PolicyLossGradient]:
    """Return `policy_loss` and its gradients; where critics tie, only the first has a gradient."""
    b, weight_BN = q_KBN.shape[1], action_set.weight_BN
    minimum_BN, critic_BN = q_KBN.min(0)
    gradient_weight_BN = (temperature * action_set.log_prob_BN - minimum_BN) / b
    share_BN = weight_BN / b
    gradient = PolicyLossGradient(
        torch.zeros_like(q_KBN).scatter_(0, critic_BN.unsqueeze(0), -share_BN.unsqueeze(0)),
        temperature * share_BN,
        gradient_weight_BN,
    )
    return torch.dot(weight_BN.flatten(), gradient_weight_BN.flatten()), gradient


def forward_kl(q_KBN: Tensor, action_set: ActionSet, temperature: Tensor | float) -> Tensor:
    """Return temperature * mean_b KL(p || pi), p = softmax(min_k Q / temperature), all actions.

    `policy_loss` is temperature * KL(pi || p) up to a term that does not depend on pi (Haarnoja et
    al. 2018, Eq. 10). Its gradient vanishes where pi is almost deterministic, even if it chooses a
    wrong action. The gradient of the forward KL with respect to the logits, temperature * (pi - p),
    does not (Chan et al. 2022). `q_KBN` is treated as a constant.
    """
    log_best_BN = functional.log_softmax(q_KBN.detach().min(0).values / temperature, dim=1)
    divergence_B = (log_best_BN.exp() * (log_best_BN - action_set.log_prob_BN)).sum(1)
    return temperature * divergence_B.mean()


def forward_kl_and_gradient(
    q_KBN: Tensor, action_set: ActionSet, temperature: Tensor
) -> tuple[Tensor, Tensor]:
    """Return `forward_kl` and its gradient with respect to log_prob_BN, -temperature * p / B."""
    log_best_BN = functional.log_softmax(q_KBN.min(0).values / temperature, dim=1)
    gradient_BN = (temperature / -q_KBN.shape[1]) * log_best_BN.exp()
    difference_BN = action_set.log_prob_BN - log_best_BN
    return torch.dot(gradient_BN.flatten(), difference_BN.flatten()), gradient_BN


def action_gap(q_KB: Tensor, q_KBN: Tensor, weight_BN: Tensor) -> Tensor:
    """Return the mean of Q(s, a_data) - E_pi[Q(s, a)], over states and critics.

    CQL is gap-expanding: it makes this gap larger than that of the values without a penalty (Kumar
    et al. 2020, Theorem 3.4).
    """
    return (q_KB - (q_KBN * weight_BN).sum(2)).mean()


def entropy(action_set: ActionSet) -> Tensor:
    """Return the batch mean of -sum_n weight * log pi, in nats."""
    return -(action_set.weight_BN * action_set.log_prob_BN).sum(1).mean()


def temperature_gradient(entropy: Tensor, target_entropy: float) -> Tensor:
    """Return entropy - target, the gradient with respect to log(temperature) of its loss.

    The loss is log(temperature) * (entropy - target): an entropy below the target raises the
    temperature (Haarnoja et al. 2018, Eq. 18, with the logarithm as usual).
    """
    return entropy - target_entropy


def clip_(gradient: Tensor, max_norm: float) -> None:
    """Scale a gradient in place so that its norm is at most `max_norm`."""
    scale = max_norm / (torch.linalg.vector_norm(gradient) + 1e-6)
    gradient *= scale.clamp(max=1.0)


def lerp_(target: Tensor, source: Tensor, tau: float) -> None:
    """Move target parameters in place: target += tau * (source - target) (the paper's Eq. 9)."""
    target.lerp_(source.detach(), tau)
