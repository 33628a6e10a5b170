"""Quantile critics, against literal numbers and autograd."""

from dataclasses import replace

import pytest
import torch
from random_batch import random_batch
from torch import tensor

from lunar_offline.agents import losses
from lunar_offline.agents.algorithms.cql_qr import CQLQR, QUANTILES, CQLQRConfig
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.penalties import logsumexp_gap
from lunar_offline.errors import UsageError
from lunar_offline.options import RunKind, options_of
from lunar_offline.seeding import Purpose, generator

SMALL = CQLQRConfig(hidden=(16, 16), learning_rate=1e-2)
DISCRETE = ActionSpec(True, 4)


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
    config = replace(SMALL, penalty=penalty, penalty_weight=weight)
    learner = CQLQR(config, DISCRETE, 8, 1)
    for step in range(5):
        learner.update(random_batch(DISCRETE, counter=step))
    batch = random_batch(DISCRETE, n_offline=6)
    z_BAQ = learner.critic.plain(batch.observations)[0].view(10, 4, QUANTILES)
    with torch.no_grad():
        next_z = learner.target_critic.plain(batch.next_observations)[0].view(10, 4, QUANTILES)
        best = next_z[torch.arange(10), next_z.mean(2).argmax(1)]
        keep = (~batch.terminations).float().unsqueeze(1)
        target = batch.rewards.unsqueeze(1) + SMALL.discount * keep * best
    loss = losses.quantile_loss(z_BAQ[torch.arange(10), batch.actions], target)
    if penalty != "none" and weight:
        q_1PA = z_BAQ[:6].mean(2).unsqueeze(0)
        data = q_1PA[0, torch.arange(6), batch.actions[:6]].unsqueeze(0)
        loss = loss + weight * logsumexp_gap(q_1PA, torch.zeros(6, 4), data).mean()
    (expected,) = torch.autograd.grad(loss, [learner.critic.flat])
    found: list[torch.Tensor] = []
    learner.optimizers["critic"].step = lambda g: found.append(g.clone())  # type: ignore[method-assign]
    learner.update(batch)
    error = torch.linalg.vector_norm(found[0] - expected)
    assert error < 1e-5 * torch.linalg.vector_norm(expected)


def test_the_policy_is_the_critics_mean_over_quantiles() -> None:
    config = replace(SMALL, penalty="none", initial_temperature=0.5)
    learner = CQLQR(config, DISCRETE, 8, 1)
    for step in range(3):
        learner.update(random_batch(DISCRETE, counter=step))
    states = random_batch(DISCRETE, counter=9).observations
    mean_q = learner.critic.plain(states)[0].view(10, 4, QUANTILES).mean(2)
    assert torch.allclose(learner.policy(states), mean_q / 0.5, atol=1e-5)


def test_the_penalty_sees_its_rows_alone_and_has_its_own_weight_online() -> None:
    def metrics(batch: Batch, online_episode: int | None = None, **options) -> dict:
        return CQLQR(replace(SMALL, **options), DISCRETE, 8, 1).update(batch, online_episode)

    batch = random_batch(DISCRETE, n_offline=6)
    tail = batch.observations.clone()
    tail[6:] += 20.0
    moved = batch._replace(observations=tail)
    gap = metrics(batch)["penalty_gap"].item()
    assert metrics(moved)["penalty_gap"].item() == pytest.approx(gap, abs=1e-5)
    of_all = metrics(batch, penalized_rows="all")["penalty_gap"].item()
    assert abs(metrics(moved, penalized_rows="all")["penalty_gap"].item() - of_all) > 1e-3
    for weight, anneal, expected in ((3.0, 0, 3.0), (3.0, 8, 1.5), (3.0, 4, 0.0), (0.0, 0, 0.0)):
        online = metrics(batch, 4, online_penalty_weight=weight, anneal_episodes=anneal)
        added = (online["critic_loss"] - online["td_loss"]).item()
        assert added == pytest.approx(expected * gap, rel=1e-4)
        assert ("penalty_gap" in online) == (expected > 0.0)


def test_quantile_critics_refuse_what_they_cannot_do() -> None:
    discrete, continuous = RunKind(discrete=True, rho=0.5), RunKind(discrete=False, rho=0.5)
    SMALL.check(discrete)
    with pytest.raises(UsageError, match="algorithm cql-qr needs discrete actions"):
        SMALL.check(continuous)
    for penalty in ("cql-rho", "eq1"):
        with pytest.raises(UsageError, match=f"has no policy, which {penalty} needs"):
            replace(SMALL, penalty=penalty).check(discrete)
    assert "layer_norm" not in options_of(CQLQRConfig)  # policies have none
    assert not CQLQR(SMALL, DISCRETE, 8, 1).critic.layout.layer_norm
