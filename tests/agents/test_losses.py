"""Each loss against numbers worked by hand."""

import math

import pytest
import torch
from torch import tensor

from lunar_offline.agents import losses
from lunar_offline.agents.nn.action_sets import ActionSet

# two states, two actions, probabilities (1/4, 3/4) and (1/2, 1/2)
WEIGHT_BN = tensor([[0.25, 0.75], [0.5, 0.5]])
DISCRETE = ActionSet(tensor([[0, 1], [0, 1]]), WEIGHT_BN.log(), WEIGHT_BN)
Q_KBN = tensor([[[1.0, 2.0], [3.0, 4.0]], [[2.0, 1.0], [5.0, 0.0]]])


def test_soft_value_is_the_exact_expectation_of_the_minimum() -> None:
    # minima: [1, 1], [3, 0]; entropies: 0.562335, ln 2
    expected = [1.0 + 0.5 * 0.562335, 1.5 + 0.5 * math.log(2)]
    assert losses.soft_value(Q_KBN, DISCRETE, 0.5).tolist() == pytest.approx(expected, abs=1e-6)


def test_soft_value_of_samples_is_their_mean() -> None:
    samples = ActionSet(torch.zeros(1, 2, 2), tensor([[-1.0, 3.0]]), tensor([[0.5, 0.5]]))
    q_KBN = tensor([[[4.0, 2.0]], [[3.0, 5.0]]])
    # minima 3 and 2, minus 0.1 * log-density
    assert losses.soft_value(q_KBN, samples, 0.1).item() == pytest.approx((3.1 + 1.7) / 2)


def test_only_terminations_cut_the_target() -> None:
    rewards, value = tensor([1.0, 1.0]), tensor([10.0, 10.0])
    terminations = tensor([True, False])
    target = losses.td_target(rewards, terminations, value, 0.9)
    assert target.tolist() == pytest.approx([1.0, 10.0])


def test_critic_loss_is_half_the_mean_square_summed_over_critics() -> None:
    q_KB = tensor([[1.0, 2.0], [3.0, 5.0]])
    # errors: 0, 1 and 2, 4 -> (0 + 1) / 2 / 2 + (4 + 16) / 2 / 2
    assert losses.critic_loss(q_KB, tensor([1.0, 1.0])).item() == pytest.approx(0.25 + 5.0)


def test_policy_loss_is_minus_the_mean_soft_value() -> None:
    expected = -(1.0 + 0.5 * 0.562335 + 1.5 + 0.5 * math.log(2)) / 2
    assert losses.policy_loss(Q_KBN, DISCRETE, 0.5).item() == pytest.approx(expected, abs=1e-6)


def test_entropy_by_hand() -> None:
    assert losses.entropy(DISCRETE).item() == pytest.approx((0.562335 + math.log(2)) / 2, abs=1e-6)


@pytest.mark.parametrize(("entropy", "sign"), [(0.1, -1.0), (0.5, 1.0)])
def test_temperature_rises_when_entropy_is_short(entropy: float, sign: float) -> None:
    gradient = losses.temperature_gradient(tensor(entropy), 0.3)
    # descent moves against the gradient: too little entropy raises the temperature
    assert gradient.item() == pytest.approx(entropy - 0.3)
    assert math.copysign(1.0, gradient.item()) == sign


def test_critic_gradient_is_autograds() -> None:
    q_KB = tensor([[1.0, 2.0], [3.0, 5.0]], requires_grad=True)
    target = tensor([1.0, 1.5])
    loss = losses.critic_loss(q_KB, target)
    found, gradient = losses.critic_loss_and_gradient(q_KB.detach(), target)
    assert found.item() == pytest.approx(loss.item())
    assert torch.allclose(gradient, torch.autograd.grad(loss, [q_KB])[0])


def test_policy_gradients_are_autograds() -> None:
    q_KBN = Q_KBN.clone().requires_grad_()
    log_prob, weight = (t.clone().requires_grad_() for t in DISCRETE[1:])
    loss = losses.policy_loss(q_KBN, ActionSet(DISCRETE.actions, log_prob, weight), 0.5)
    expected = torch.autograd.grad(loss, [q_KBN, log_prob, weight])
    found, gradients = losses.policy_loss_and_gradient(Q_KBN, DISCRETE, tensor(0.5))
    assert found.item() == pytest.approx(loss.item())
    for gradient, reference in zip(gradients, expected, strict=True):
        assert torch.allclose(gradient, reference, atol=1e-7)


def test_forward_kl_by_hand() -> None:
    # minima [1, 1] and [3, 0]; over temperature 3 / ln 2 they are 0, 0 and ln 2, 0 but for a shift
    temperature = 3.0 / math.log(2)
    first = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    second = 2 / 3 * math.log(2 / 3 / 0.5) + 1 / 3 * math.log(1 / 3 / 0.5)
    expected = temperature * (first + second) / 2
    assert losses.forward_kl(Q_KBN, DISCRETE, temperature).item() == pytest.approx(expected)


def test_forward_kl_gradient_is_autograds() -> None:
    log_prob = DISCRETE.log_prob_BN.clone().requires_grad_()
    loss = losses.forward_kl(Q_KBN, DISCRETE._replace(log_prob_BN=log_prob), 0.5)
    found, gradient = losses.forward_kl_and_gradient(Q_KBN, DISCRETE, tensor(0.5))
    assert found.item() == pytest.approx(loss.item())
    assert torch.allclose(gradient, torch.autograd.grad(loss, [log_prob])[0])


def test_forward_kl_moves_a_policy_that_is_sure_of_a_wrong_action() -> None:
    logits = tensor([[0.0, 30.0]], requires_grad=True)
    q_KBN = tensor([[[1.0, 0.0]]])
    log_prob = logits.log_softmax(1)
    policy = ActionSet(tensor([[0, 1]]), log_prob, log_prob.exp())
    stuck = torch.autograd.grad(losses.policy_loss(q_KBN, policy, 0.1), [logits], retain_graph=True)
    moved = torch.autograd.grad(losses.forward_kl(q_KBN, policy, 0.1), [logits])
    assert stuck[0].abs().max() < 1e-10
    assert moved[0][0, 0] == pytest.approx(-0.1, rel=1e-3)


def test_lerp_by_hand() -> None:
    target = tensor([1.0, 2.0])
    losses.lerp_(target, tensor([2.0, 0.0]), 0.25)
    assert target.tolist() == [1.25, 1.5]


def test_action_gap_by_hand() -> None:
    # data's values 4, 0 and 2, 6; expectations 7/4, 7/2 and 5/4, 5/2
    gap = losses.action_gap(tensor([[4.0, 0.0], [2.0, 6.0]]), Q_KBN, WEIGHT_BN)
    assert gap.item() == pytest.approx((4 - 1.75 + 0 - 3.5 + 2 - 1.25 + 6 - 2.5) / 4)
