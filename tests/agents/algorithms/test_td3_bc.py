"""TD3+BC, against numbers worked by hand from the papers' equations."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from random_batch import random_batch
from torch import tensor

from lunar_offline.agents.algorithms.td3_bc import (
    TD3BC,
    TD3BCConfig,
    normalized_q_loss,
    smoothed,
)
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.policies import act
from lunar_offline.errors import UsageError
from lunar_offline.options import RunKind, preset_values
from lunar_offline.seeding import Purpose, generator

SPEC = ActionSpec(False, 2)
SMALL = TD3BCConfig(hidden=(16, 16), learning_rate=1e-2)


def learner_of(config: TD3BCConfig = SMALL, seed: int = 1) -> TD3BC:
    return TD3BC(config, SPEC, 8, seed)


def test_the_weight_of_q_by_hand() -> None:
    # lambda = 2.5 / mean(2, 4, 6) = 0.625, and mean Q = (2 - 4 + 6) / 3
    q = tensor([2.0, -4.0, 6.0], requires_grad=True)
    loss = normalized_q_loss(q, 2.5)
    assert loss.item() == pytest.approx(-0.625 * 4 / 3)
    # lambda is a constant of the gradient
    (gradient,) = torch.autograd.grad(loss, [q])
    assert gradient.tolist() == pytest.approx([-0.625 / 3] * 3)
    # the scale of the rewards does not matter
    assert normalized_q_loss(100.0 * q, 2.5).item() == pytest.approx(loss.item())


def test_target_smoothing_by_hand() -> None:
    actions = tensor([[0.0, 0.9, -0.95, 0.3]])
    drawn = tensor([[1.0, 1.0, -4.0, 5.0]])
    # noise 0.2, 0.2, -0.5 (clipped), 0.5 (clipped); actions end at +-1
    found = smoothed(actions, drawn, 0.2, 0.5)
    assert found.flatten().tolist() == pytest.approx([0.2, 1.0, -1.0, 0.8])


def test_the_losses_of_an_update_are_the_papers() -> None:
    learner, batch = learner_of(), random_batch(SPEC, n_offline=6)
    for step in range(3):  # so that targets and networks differ; the next update is the fourth
        learner.update(random_batch(SPEC, counter=step + 1))
    rng = generator(1, Purpose.UPDATE_NOISE, 3)
    noise = np.clip(0.2 * rng.standard_normal((10, 1, 2), dtype="float32"), -0.5, 0.5)
    with torch.no_grad():
        next_action = learner.target_policy(batch.next_observations)[:, :2].tanh().unsqueeze(1)
        next_q = learner.target_critic(
            batch.next_observations, (next_action + torch.from_numpy(noise)).clamp(-1, 1)
        )[:, :, 0]
        q = learner.critic(batch.observations, batch.actions.unsqueeze(1))[:, :, 0]
        action = learner.policy(batch.observations)[:, :2].tanh()
    td_loss = 0.0
    for b in range(10):
        y = batch.rewards[b].item()
        y += 0.0 if batch.terminations[b] else 0.99 * min(next_q[0, b].item(), next_q[1, b].item())
        td_loss += sum((q[k, b].item() - y) ** 2 for k in range(2)) / 2 / 10
    cloning = (action[:6] - batch.actions[:6]).square().mean().item()  # the offline rows
    found = learner.update(batch)
    assert found["td_loss"].item() == pytest.approx(td_loss, rel=1e-4)
    assert found["cloning_loss"].item() == pytest.approx(cloning, rel=1e-4)
    # -lambda mean Q is -2.5 or 2.5 where all Q have one sign, and between them otherwise
    assert abs(found["policy_loss"].item() - cloning) <= 2.5 + 1e-5


def test_the_policys_gradient_is_that_of_its_loss() -> None:
    """Adam's first moment after one step from zero is a tenth of the gradient."""
    config = replace(SMALL, policy_delay=1)
    learner, twin, batch = learner_of(config), learner_of(config), random_batch(SPEC)
    learner.update(batch)
    # the critic that the policy climbs is the one after its step
    twin.critic.members.flat.data.copy_(learner.critic.members.flat.data)
    action = twin.policy(batch.observations)[:, :2].tanh()
    q = twin.critic(batch.observations, action.unsqueeze(1))[0, :, 0]
    loss = -2.5 / q.abs().mean().item() * q.mean() + (action - batch.actions).square().mean()
    (gradient,) = torch.autograd.grad(loss, [twin.policy.net.flat])
    found = learner.optimizers["policy"].state["exp_avg"]
    assert torch.allclose(found, 0.1 * gradient, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("delay", [1, 2, 3])
def test_policy_and_targets_are_delayed(delay: int) -> None:
    learner = learner_of(replace(SMALL, policy_delay=delay))
    for step in range(6):
        watched = (learner.policy.net.flat, learner.target_critic.members.flat)
        before = [flat.detach().clone() for flat in watched]
        critic = learner.critic.members.flat.detach().clone()
        metrics = learner.update(random_batch(SPEC, counter=step))
        due = (step + 1) % delay == 0
        assert ("policy_loss" in metrics) == due
        assert not torch.equal(learner.critic.members.flat, critic)
        for flat, old in zip(watched, before, strict=True):
            assert torch.equal(flat, old) != due


def test_sigma_stays_the_exploration_noise() -> None:
    config = replace(SMALL, exploration_noise=0.2, policy_tau=0.3)
    learner = learner_of(config)
    for step in range(6):
        learner.update(random_batch(SPEC, counter=step))
    observations = random_batch(SPEC).observations
    for policy in (learner.policy, learner.average.policy, learner.target_policy):
        log_sigma = policy(observations)[:, 2:]
        assert torch.equal(log_sigma, torch.full_like(log_sigma, math.log(0.2)))
    greedy = act(learner.policy, observations.numpy(), None)
    mu = learner.policy(observations)[:, :2].detach()
    assert np.allclose(greedy, mu.tanh().numpy(), atol=1e-6)
    rngs = [generator(0, Purpose.TRAINING_ACTION, row) for row in range(10)]
    sampled = act(learner.policy, observations.numpy(), rngs)
    noise = np.arctanh(sampled.astype(np.float64)) - mu.numpy()
    assert 0.1 < noise.std() < 0.3


def test_a_batch_without_offline_rows_is_plain_td3() -> None:
    learner = learner_of(replace(SMALL, policy_delay=1))
    metrics = learner.update(random_batch(SPEC, n_offline=0), 0)
    assert "cloning_loss" not in metrics
    assert torch.isfinite(metrics["policy_loss"])


def test_the_same_seed_is_the_same_run() -> None:
    learner, twin, other = (learner_of(seed=seed) for seed in (1, 1, 2))
    for step in range(5):
        for each in (learner, twin, other):
            each.update(random_batch(SPEC, counter=step))
    assert torch.equal(learner.policy.net.flat, twin.policy.net.flat)
    assert not torch.equal(learner.policy.net.flat, other.policy.net.flat)


def test_it_finds_the_better_action_near_the_datas() -> None:
    """A bandit with reward a_0: the policy moves from the data's 0 toward the bound, not onto it.

    With Q = a_0 it minimizes -2.5 (sign) a_0 + (a_0^2 + a_1^2) / 2, whose slope at a_0 = 1 is
    still negative; a small `q_weight` stays near the data.
    """
    rng = generator(3, Purpose.BATCH)
    actions = torch.from_numpy(rng.uniform(-0.5, 0.5, (256, 2)).astype("float32"))
    nothing = torch.zeros(256, 8)
    rewards = actions[:, 0]
    batch = Batch(nothing, actions, rewards, nothing, torch.ones(256, dtype=torch.bool), 256)
    found = {}
    for q_weight in (0.0, 2.5):
        learner = learner_of(replace(SMALL, q_weight=q_weight))
        for _ in range(200):
            learner.update(batch)
        found[q_weight] = act(learner.policy, nothing[:1].numpy(), None)[0]
    assert np.abs(found[0.0]).max() < 0.1
    assert found[2.5][0] > 0.7


def test_it_refuses_discrete_actions_and_rho_0() -> None:
    with pytest.raises(UsageError, match="td3-bc needs continuous actions; use iql or cql-sac"):
        SMALL.check(RunKind(discrete=True, rho=1.0))
    with pytest.raises(UsageError, match="td3-bc needs continuous actions"):
        TD3BC(SMALL, ActionSpec(True, 4), 8, 1)
    with pytest.raises(UsageError, match="learns from a dataset: --rho must be above 0"):
        SMALL.check(RunKind(discrete=False, rho=0.0))
    for rho in (0.5, 1.0):
        SMALL.check(RunKind(discrete=False, rho=rho))


def test_the_paper_preset_has_its_values() -> None:
    kind = RunKind(discrete=False, rho=1.0)
    found = TD3BCConfig(**preset_values(TD3BCConfig, "paper", kind))
    assert (found.hidden, found.learning_rate, found.tau) == ((256, 256), 3e-4, 0.005)
    assert (found.discount, found.q_weight, found.policy_delay) == (0.99, 2.5, 2)
    assert (found.target_noise, found.target_noise_clip) == (0.2, 0.5)
    assert (found.max_grad_norm, found.policy_tau) == (0.0, 1.0)
