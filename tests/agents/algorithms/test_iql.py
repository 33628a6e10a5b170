"""IQL, against numbers worked by hand from the paper's equations."""

import math
from dataclasses import replace

import pytest
import torch
from random_batch import random_batch
from torch import tensor

from lunar_offline.agents.algorithms.iql import (
    IQL,
    IQLConfig,
    advantage_weight,
    expectile_loss,
    weighted_cloning_loss,
)
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.options import RunKind, preset_values

SMALL = IQLConfig(hidden=(16, 16), learning_rate=1e-2)
SPECS = [ActionSpec(True, 4), ActionSpec(False, 2)]


def learner_of(spec: ActionSpec, config: IQLConfig = SMALL, seed: int = 1) -> IQL:
    return IQL(config, spec, 8, seed)


def test_expectile_loss_by_hand() -> None:
    # |0.7 - 1[u < 0]| u^2: 0.7 * 4, 0.3 * 1, 0
    assert expectile_loss(tensor([2.0, -1.0, 0.0]), 0.7).item() == pytest.approx(3.1 / 3)
    # at 0.5 it is half the mean squared error
    assert expectile_loss(tensor([2.0, -1.0, 0.0]), 0.5).item() == pytest.approx(2.5 / 3)


@pytest.mark.parametrize(("expectile", "expected"), [(0.5, 5.0), (0.9, 9.0)])
def test_an_expectile_of_two_values(expectile: float, expected: float) -> None:
    # of 0 and 10: expectile (10 - m) = (1 - expectile) m
    m = tensor(3.0, requires_grad=True)
    for _ in range(300):
        (gradient,) = torch.autograd.grad(expectile_loss(tensor([0.0, 10.0]) - m, expectile), [m])
        m = (m - 0.5 * gradient).detach().requires_grad_()
    assert m.item() == pytest.approx(expected, abs=1e-3)


def test_advantage_weights_by_hand() -> None:
    # 100 is exp(3 * 1.535)
    found = advantage_weight(tensor([0.0, -1.0, 1.0, 1.6, 1e6]), 3.0)
    assert found.tolist() == pytest.approx([1.0, math.exp(-3), math.exp(3), 100.0, 100.0])
    assert advantage_weight(tensor([5.0]), 0.0).item() == 1.0


def test_weighted_cloning_by_hand() -> None:
    loss = weighted_cloning_loss(tensor([-1.0, -2.0]), tensor([3.0, 0.5]))
    assert loss.item() == pytest.approx((3.0 + 1.0) / 2)


@pytest.mark.parametrize("spec", SPECS)
def test_the_losses_of_an_update_are_the_papers(spec: ActionSpec) -> None:
    """Every loss, from the networks before the update, row by row."""
    learner, batch = learner_of(spec), random_batch(spec)
    for step in range(3):  # so that targets and critics differ
        learner.update(random_batch(spec, counter=step + 1))
    with torch.no_grad():
        v, next_v = learner.value(batch.observations)[0], learner.value(batch.next_observations)[0]
        actions = batch.actions.unsqueeze(1)
        q = learner.critic(batch.observations, actions)[:, :, 0]
        target_q = learner.target_critic(batch.observations, actions)[:, :, 0]
        log_prob = learner.policy.log_prob(learner.policy(batch.observations), batch.actions)
    expected = {"value_loss": 0.0, "td_loss": 0.0, "policy_loss": 0.0}
    for b in range(10):
        u = min(target_q[0, b].item(), target_q[1, b].item()) - v[b].item()
        y = batch.rewards[b].item()
        y += 0.0 if batch.terminations[b] else 0.99 * next_v[b].item()
        expected["value_loss"] += (0.3 if u < 0 else 0.7) * u**2 / 10
        expected["td_loss"] += sum((q[k, b].item() - y) ** 2 for k in range(2)) / 2 / 10
        expected["policy_loss"] -= min(math.exp(3.0 * u), 100.0) * log_prob[b].item() / 10
    found = learner.update(batch)
    assert {k: found[k].item() for k in expected} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("spec", SPECS)
def test_each_network_has_the_gradient_of_its_own_loss(spec: ActionSpec) -> None:
    """Adam's first moment after one step from zero is a tenth of the gradient."""
    learner, twin, batch = learner_of(spec), learner_of(spec), random_batch(spec)
    learner.update(batch)
    actions = batch.actions.unsqueeze(1)
    q = twin.critic(batch.observations, actions)[:, :, 0]
    v = twin.value(batch.observations).flatten()
    y = batch.rewards + 0.99 * twin.value(batch.next_observations).flatten() * ~batch.terminations
    u = twin.target_critic(batch.observations, actions).min(0).values[:, 0] - v
    log_prob = twin.policy.log_prob(twin.policy(batch.observations), batch.actions)
    for name, loss, flat in (
        ("value", ((0.7 - (u < 0).float()).abs() * u**2).mean(), twin.value.flat),
        ("critic", ((q - y.detach()) ** 2).mean(1).sum() / 2, twin.critic.members.flat),
        ("policy", -((3.0 * u.detach()).exp() * log_prob).mean(), twin.policy.net.flat),
    ):
        (gradient,) = torch.autograd.grad(loss, [flat], retain_graph=True)
        found = learner.optimizers[name].state["exp_avg"]
        assert torch.allclose(found, 0.1 * gradient, rtol=1e-3, atol=1e-6), name


@pytest.mark.parametrize("spec", SPECS)
def test_the_same_seed_is_the_same_run(spec: ActionSpec) -> None:
    learner, twin, other = (learner_of(spec, seed=seed) for seed in (1, 1, 2))
    for step in range(5):
        for each in (learner, twin, other):
            each.update(random_batch(spec, counter=step))
    assert torch.equal(learner.policy.net.flat, twin.policy.net.flat)
    assert not torch.equal(learner.policy.net.flat, other.policy.net.flat)


@pytest.mark.parametrize("spec", SPECS)
def test_it_prefers_the_better_action(spec: ActionSpec) -> None:
    """A bandit: two actions, equally often in the data, with rewards 1 and -1."""
    good, bad = (tensor(a) for a in ((1, 2) if spec.discrete else ((0.5, 0.5), (-0.5, -0.5))))
    actions = torch.stack([good, bad] * 16)
    nothing = torch.zeros(32, 8)
    rewards = tensor([1.0, -1.0] * 16)
    batch = Batch(nothing, actions, rewards, nothing, torch.ones(32, dtype=torch.bool), 32)
    fast = replace(SMALL, tau=0.1)
    learner = learner_of(spec, fast)
    cloned = learner_of(spec, replace(fast, inverse_temperature=0.0))
    for _ in range(200):
        metrics = learner.update(batch)
        cloned.update(batch)
    assert metrics["q_mean"].item() == pytest.approx(0.0, abs=0.05)
    # the 0.7 expectile of 1 and -1 is 0.4
    assert learner.values(nothing[:1]).item() == pytest.approx(0.4, abs=0.1)
    for each, likelier in ((learner, True), (cloned, False)):
        log_prob = each.policy.log_prob(each.policy(nothing[:2]), torch.stack([good, bad]))
        ratio = (log_prob[0] - log_prob[1]).item()
        assert ratio > 1.0 if likelier else abs(ratio) < 0.3


def test_clipping_of_the_critics_gradient_is_an_option() -> None:
    spec = SPECS[0]
    free, clipped = learner_of(spec), learner_of(spec, replace(SMALL, max_grad_norm=1e-3))
    for each in (free, clipped):
        each.update(random_batch(spec))
    moments = [each.optimizers["critic"].state["exp_avg"].norm().item() for each in (free, clipped)]
    assert moments[1] == pytest.approx(1e-4, rel=0.01)  # 1 - beta of Adam times the norm
    assert moments[0] > 10 * moments[1]


def test_the_paper_preset_has_its_values() -> None:
    kind = RunKind(discrete=False, rho=1.0)
    found = IQLConfig(**preset_values(IQLConfig, "paper", kind))
    assert (found.hidden, found.learning_rate, found.tau) == ((256, 256), 3e-4, 0.005)
    assert (found.discount, found.expectile, found.inverse_temperature) == (0.99, 0.7, 3.0)
    assert found.max_grad_norm == 0.0


@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
def test_it_learns_at_every_rho(discrete: bool, rho: float) -> None:
    SMALL.check(RunKind(discrete, rho))
