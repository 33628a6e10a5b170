"""The losses of SAC as pure functions: tensors in, tensor out.

Shapes: q_KBN holds K critics' values of N actions at B states.
"""

from torch import Tensor

from lunar_offline.learn.policies import ActionSet


def soft_value(q_KBN: Tensor, action_set: ActionSet, temperature: Tensor | float) -> Tensor:
    """Return v_B = sum_n weight * (min_k Q - temperature * log pi), the soft state value.

    Discrete: the exact expectation (Christodoulou 2019, Eq. 3); continuous: the mean over samples
    (the paper's Eqs. 11 and 13).
    """
    soft_q_BN = q_KBN.amin(0) - temperature * action_set.log_prob_BN
    return (action_set.weight_BN * soft_q_BN).sum(1)


def td_target(
    rewards_B: Tensor, terminations_B: Tensor, next_value_B: Tensor, discount: float
) -> Tensor:
    """Return y_B = r + discount * (1 - terminated) * v(s') (the paper's Eq. 11).

    `terminations_B` is bool. A truncation is no termination: its target bootstraps.
    """
    return rewards_B + discount * next_value_B * ~terminations_B


def critic_loss(q_KB: Tensor, td_target_B: Tensor) -> Tensor:
    """Return sum_k 1/2 mean_b (Q_k - y)^2: the half in Eq. 17 of the paper, Eq. 4 of CQL's."""
    return 0.5 * (q_KB - td_target_B).square().mean(1).sum()


def policy_loss(q_KBN: Tensor, action_set: ActionSet, temperature: Tensor | float) -> Tensor:
    """Return -mean_b of the soft value (the paper's Eq. 13, to be minimised)."""
    return -soft_value(q_KBN, action_set, temperature).mean()


def entropy(action_set: ActionSet) -> Tensor:
    """Return the batch mean of -sum_n weight * log pi, in nats."""
    return -(action_set.weight_BN * action_set.log_prob_BN).sum(1).mean()


def temperature_loss(log_temperature: Tensor, entropy: Tensor, target_entropy: float) -> Tensor:
    """Return log(temperature) * (entropy - target), the gradient only in log(temperature).

    Too little entropy raises the temperature (Haarnoja et al. 2018, Eq. 18, on the log as usual).
    """
    return log_temperature * (entropy.detach() - target_entropy)


def lerp_(target: Tensor, source: Tensor, tau: float) -> None:
    """Move target parameters in place: target += tau * (source - target) (the paper's Eq. 9)."""
    target.lerp_(source.detach(), tau)
