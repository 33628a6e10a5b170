"""Behavior cloning, against literal numbers and autograd."""

import math
from dataclasses import replace

import pytest
import torch
from random_batch import random_batch
from torch import tensor

from lunar_offline.agents.algorithms.bc import BCConfig, BehaviorCloning, cloning_loss_and_gradient
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.policies import make_policy
from lunar_offline.errors import UsageError
from lunar_offline.options import RunKind
from lunar_offline.seeding import Purpose, generator

SMALL = BCConfig(hidden=(16, 16), learning_rate=1e-2)
DISCRETE, CONTINUOUS = ActionSpec(True, 4), ActionSpec(False, 2)


def test_log_prob_of_given_actions_by_hand() -> None:
    rng = generator(0, Purpose.INITIALIZATION)
    discrete = make_policy(DISCRETE, 8, (16,), rng)
    log_prob, gradient = discrete.log_prob_and_gradient(
        tensor([[0.0, 0.0, 0.0, math.log(5.0)]]), tensor([3])
    )
    assert log_prob.item() == pytest.approx(math.log(5 / 8))
    assert gradient.flatten().tolist() == pytest.approx([-1 / 8, -1 / 8, -1 / 8, 3 / 8])
    continuous = make_policy(CONTINUOUS, 8, (16,), rng)
    # mu = sigma = (0, 1), a = 0: density of N(0, 1)^2 at 0, tanh'(0) = 1
    log_prob, _ = continuous.log_prob_and_gradient(torch.zeros(1, 4), torch.zeros(1, 2))
    assert log_prob.item() == pytest.approx(-math.log(2 * math.pi), abs=1e-6)


@pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS])
def test_log_prob_gradient_is_autograds(spec: ActionSpec) -> None:
    policy = make_policy(spec, 8, (16,), generator(0, Purpose.INITIALIZATION))
    batch = random_batch(spec)
    actions = batch.actions
    if not spec.discrete:  # the corners too, where the inverse of tanh is infinite
        actions[0], actions[1] = tensor([1.0, -1.0]), tensor([-1.0, 0.0])
    output = policy(batch.observations).detach().requires_grad_()
    log_prob, gradient = policy.log_prob_and_gradient(output, actions)
    (expected,) = torch.autograd.grad(log_prob.sum(), [output])
    assert torch.equal(policy.log_prob(output, actions), log_prob)
    assert torch.isfinite(log_prob).all()
    assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS])
def test_the_loss_is_the_mean_negative_log_prob_and_its_gradient_autograds(
    spec: ActionSpec,
) -> None:
    learner, batch = BehaviorCloning(SMALL, spec, 8, 1), random_batch(spec)
    output = learner.policy(batch.observations).detach().requires_grad_()
    log_prob, _ = learner.policy.log_prob_and_gradient(output, batch.actions)
    (expected,) = torch.autograd.grad(-log_prob.mean(), [output])
    loss, gradient = cloning_loss_and_gradient(learner.policy, output.detach(), batch.actions)
    assert loss.item() == pytest.approx(-log_prob.mean().item(), rel=1e-6)
    assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    assert learner.update(batch)["policy_loss"].item() == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS])
def test_cloning_finds_the_datas_policy_and_learns_from_its_rows_alone(spec: ActionSpec) -> None:
    learner = BehaviorCloning(SMALL, spec, 8, 1)
    batch = random_batch(spec, n_offline=6)
    before = learner.update(batch)["policy_loss"].item()
    for _ in range(300):
        after = learner.update(batch)["policy_loss"].item()
    assert after < before - 1.0
    twin = BehaviorCloning(SMALL, spec, 8, 1)
    other = batch.actions.clone()
    other[6:] = other[6:].flip(0)
    for _ in range(301):
        twin.update(batch._replace(actions=other))
    assert torch.equal(twin.policy.net.flat, learner.policy.net.flat)


@pytest.mark.parametrize("online_episode", [None, 2])
@pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS])
def test_the_rows_after_the_offline_ones_change_nothing(
    spec: ActionSpec, online_episode: int | None
) -> None:
    n = 6
    batch, other = random_batch(spec, n_offline=n), random_batch(spec, n_offline=n, counter=1)

    def joined(first: Batch, rest: Batch) -> Batch:
        columns = zip(first[:5], rest[:5], strict=True)
        return Batch(*(torch.cat([a[:n], b[n:]]) for a, b in columns), n)

    def updated(batch: Batch) -> tuple[torch.Tensor, float]:
        learner = BehaviorCloning(replace(SMALL, policy_tau=0.5), spec, 8, 1)
        for _ in range(3):
            loss = learner.update(batch, online_episode)["policy_loss"].item()
        return torch.cat([learner.policy.net.flat, learner.average.policy.net.flat]), loss

    expected, loss = updated(batch)
    alone = Batch(*(column[:n] for column in batch[:5]), n)
    for same in (joined(batch, other), alone):
        found, found_loss = updated(same)
        assert torch.equal(found, expected)
        assert found_loss == loss
    assert not torch.equal(updated(joined(other, batch))[0], expected)
    assert not torch.equal(updated(batch._replace(n_offline=n + 1))[0], expected)


def test_cloning_needs_a_dataset() -> None:
    with pytest.raises(UsageError, match="learns from a dataset: --rho must be above 0"):
        SMALL.check(RunKind(discrete=True, rho=0.0))
    SMALL.check(RunKind(discrete=True, rho=0.1))
    SMALL.check(RunKind(discrete=False, rho=1.0))
