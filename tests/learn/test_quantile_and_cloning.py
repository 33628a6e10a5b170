"""Quantile critics and behavior cloning, against literal numbers and autograd."""

import math
from dataclasses import replace

import pytest
import torch
from torch import tensor

from lunar_offline.learn import losses
from lunar_offline.learn.algorithms import make_learner
from lunar_offline.learn.cloning import BehaviorCloning
from lunar_offline.learn.learner import AgentConfig, Batch, Learner
from lunar_offline.learn.penalties import logsumexp_gap, make_penalty
from lunar_offline.learn.policies import ActionSpec, make_policy
from lunar_offline.learn.quantile import QUANTILES, QuantileAgent
from lunar_offline.seeding import Purpose, generator

SMALL = AgentConfig(hidden=(16, 16), layer_norm=False, learning_rate=1e-2)
DISCRETE, CONTINUOUS = ActionSpec(True, 4), ActionSpec(False, 2)


def rows(spec: ActionSpec, *, n_penalised: int = 10, counter: int = 0) -> Batch:
    rng = generator(9, Purpose.BATCH, counter)
    actions = rng.integers(4, size=10) if spec.discrete else rng.uniform(-1, 1, (10, 2))
    return Batch(
        torch.from_numpy(rng.standard_normal((10, 8), dtype="float32")),
        torch.from_numpy(actions).to(torch.int64 if spec.discrete else torch.float32),
        torch.from_numpy(rng.standard_normal(10, dtype="float32")),
        torch.from_numpy(rng.standard_normal((10, 8), dtype="float32")),
        tensor([False] * 8 + [True] * 2),
        n_penalised,
    )


def test_quantile_loss_by_hand() -> None:
    # tau = 1/4, 3/4; against a target of 1 and of 3:
    # z = 0: u = 1, 3: 1/4 (1/2), 1/4 (5/2): mean 3/8;  z = 2: u = -1, 1: 1/4 / 2, 3/4 / 2: mean 1/4
    z, target = tensor([[0.0, 2.0]]), tensor([[1.0, 3.0]])
    assert losses.quantile_loss(z, target).item() == pytest.approx(0.625)
    loss, gradient = losses.quantile_loss_and_gradient(z, target)
    assert loss.item() == pytest.approx(0.625)
    # -(1/4 + 1/4) / 2 and -(-1/4 + 3/4) / 2
    assert gradient.flatten().tolist() == pytest.approx([-0.25, -0.25])


def test_quantile_gradient_is_autograds() -> None:
    rng = generator(0, Purpose.BATCH)
    z = torch.from_numpy(rng.standard_normal((5, 7)) * 3).requires_grad_()
    target = torch.from_numpy(rng.standard_normal((5, 6)) * 3)
    value = losses.quantile_loss(z, target)
    (expected,) = torch.autograd.grad(value, [z])
    loss, gradient = losses.quantile_loss_and_gradient(z.detach(), target)
    assert loss.item() == pytest.approx(value.item(), rel=1e-12)
    assert torch.allclose(gradient, expected, rtol=1e-12)


def test_quantiles_of_a_known_distribution_are_found() -> None:
    z = torch.zeros(1, 4)
    target = torch.linspace(0, 100, 1001).unsqueeze(0)  # uniform: quantiles at 12.5, 37.5, ...
    for _ in range(3000):
        z -= 5.0 * losses.quantile_loss_and_gradient(z, target)[1]
    assert z.flatten().tolist() == pytest.approx([12.5, 37.5, 62.5, 87.5], abs=0.5)


@pytest.mark.parametrize(("penalty", "weight"), [("cql-h", 2.0), ("none", 2.0), ("cql-h", 0.0)])
def test_an_updates_gradient_is_that_of_the_plain_losses(penalty: str, weight: float) -> None:
    agent = QuantileAgent(SMALL, DISCRETE, 8, 1, penalty=make_penalty(penalty, 1.0))
    for step in range(5):
        agent.update(rows(DISCRETE, counter=step), weight)
    batch = rows(DISCRETE, n_penalised=6)
    z_BAQ = agent.critic.plain(batch.observations)[0].view(10, 4, QUANTILES)
    with torch.no_grad():
        next_z = agent.target_critic.plain(batch.next_observations)[0].view(10, 4, QUANTILES)
        best = next_z[torch.arange(10), next_z.mean(2).argmax(1)]
        keep = (~batch.terminations).float().unsqueeze(1)
        target = batch.rewards.unsqueeze(1) + SMALL.discount * keep * best
    loss = losses.quantile_loss(z_BAQ[torch.arange(10), batch.actions], target)
    if penalty != "none" and weight:
        q_1PA = z_BAQ[:6].mean(2).unsqueeze(0)
        data = q_1PA[0, torch.arange(6), batch.actions[:6]].unsqueeze(0)
        loss = loss + weight * logsumexp_gap(q_1PA, torch.zeros(6, 4), data).mean()
    (expected,) = torch.autograd.grad(loss, [agent.critic.flat])
    found: list[torch.Tensor] = []
    agent.optimizers["critic"].step = lambda g: found.append(g.clone())  # type: ignore[method-assign]
    agent.update(batch, weight)
    error = torch.linalg.vector_norm(found[0] - expected)
    assert error < 1e-5 * torch.linalg.vector_norm(expected)


def test_the_policy_is_the_critics_mean_over_quantiles() -> None:
    config = replace(SMALL, initial_temperature=0.5)
    agent = QuantileAgent(config, DISCRETE, 8, 1, penalty=None)
    for step in range(3):
        agent.update(rows(DISCRETE, counter=step), 0.0)
    states = rows(DISCRETE, counter=9).observations
    mean_q = agent.critic.plain(states)[0].view(10, 4, QUANTILES).mean(2)
    assert torch.allclose(agent.policy(states), mean_q / 0.5, atol=1e-5)


def test_quantile_critics_refuse_what_they_cannot_do() -> None:
    for spec, config in ((CONTINUOUS, SMALL), (DISCRETE, replace(SMALL, layer_norm=True))):
        with pytest.raises(ValueError, match="discrete actions and no LayerNorm"):
            QuantileAgent(config, spec, 8, 1, penalty=None)


def test_log_prob_of_given_actions_by_hand() -> None:
    rng = generator(0, Purpose.INITIALISATION)
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
    policy = make_policy(spec, 8, (16,), generator(0, Purpose.INITIALISATION))
    batch = rows(spec)
    actions = batch.actions
    if not spec.discrete:  # the corners too, where the inverse of tanh is infinite
        actions[0], actions[1] = tensor([1.0, -1.0]), tensor([-1.0, 0.0])
    output = policy(batch.observations).detach().requires_grad_()
    log_prob, gradient = policy.log_prob_and_gradient(output, actions)
    (expected,) = torch.autograd.grad(log_prob.sum(), [output])
    assert torch.isfinite(log_prob).all()
    assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", [DISCRETE, CONTINUOUS])
def test_cloning_finds_the_datas_policy_and_learns_from_its_rows_alone(spec: ActionSpec) -> None:
    learner = BehaviorCloning(SMALL, spec, 8, 1)
    batch = rows(spec, n_penalised=6)
    before = learner.update(batch, 0.0)["policy_loss"].item()
    for _ in range(300):
        after = learner.update(batch, 0.0)["policy_loss"].item()
    assert after < before - 1.0
    twin = BehaviorCloning(SMALL, spec, 8, 1)
    other = batch.actions.clone()
    other[6:] = other[6:].flip(0)
    for _ in range(301):
        twin.update(batch._replace(actions=other), 0.0)
    assert torch.equal(twin.policy.net.flat, learner.policy.net.flat)


@pytest.mark.parametrize("algorithm", ["cql-sac", "sac", "bc", "cql-qr"])
@pytest.mark.parametrize("policy_tau", [1.0, 0.1])
def test_every_algorithm_goes_on_from_its_state(algorithm: str, policy_tau: float) -> None:
    config = replace(SMALL, policy_tau=policy_tau)

    def fresh() -> Learner:
        return make_learner(algorithm, "cql-h", config, DISCRETE, 8, 1)

    learner, restored = fresh(), fresh()
    for step in range(4):
        learner.update(rows(DISCRETE, counter=step), 1.0)
    state = {name: value.clone() for name, value in learner.state_tensors().items()}
    restored.load_state_tensors(state, learner.update_step)
    assert torch.equal(restored.policy.net.flat, learner.policy.net.flat)
    for each in (learner, restored):
        each.update(rows(DISCRETE, counter=4), 1.0)
    for name, value in learner.state_tensors().items():
        assert torch.equal(value, restored.state_tensors()[name]), name
    average = learner.average.policy.net.flat
    assert torch.equal(average, learner.policy.net.flat) == (policy_tau == 1.0)


def test_sac_has_no_penalty() -> None:
    metrics = make_learner("sac", "cql-h", SMALL, DISCRETE, 8, 1).update(rows(DISCRETE), 5.0)
    assert "penalty_gap" not in metrics
