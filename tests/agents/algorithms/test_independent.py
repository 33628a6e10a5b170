"""A whole update against a second version of it in float64, which shares no code with the first.

Networks are torch.nn.functional calls, policies torch.distributions, losses loops over states and
critics in the paper's own notation, and gradients autograd's.
"""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor, distributions

from lunar_offline.agents.algorithms.cql_sac import CQLSAC, CQLSACConfig
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.policies import LOG_SIGMA_MAX, LOG_SIGMA_MIN
from lunar_offline.seeding import Purpose, generator

ALPHA_CQL = 1.7
CONFIG = CQLSACConfig(
    hidden=(16, 16),
    n_proposals=3,
    n_critics=2,
    discount=0.97,
    penalty="cql-h",
    penalty_weight=ALPHA_CQL,
)
B, P = 6, 4


def batch(spec: ActionSpec, counter: int) -> Batch:
    rng = generator(5, Purpose.BATCH, counter)
    actions = rng.integers(4, size=B) if spec.discrete else rng.uniform(-0.9, 0.9, (B, 2))
    return Batch(
        torch.from_numpy(rng.standard_normal((B, 8), dtype="float32")),
        torch.from_numpy(actions).to(torch.int64 if spec.discrete else torch.float32),
        torch.from_numpy(rng.standard_normal(B, dtype="float32")),
        torch.from_numpy(rng.standard_normal((B, 8), dtype="float32")),
        torch.tensor([False] * (B - 1) + [True]),
        P,
    )


def network(flat: Tensor, layout, member: int, x: Tensor) -> Tensor:
    """One member at one input [I], from the documented order of the flat parameter."""
    sizes = layout.sizes[: len(layout.shapes)]
    start = member * sum(sizes)
    h = x
    for (layer, kind, shape), size in zip(layout.shapes, sizes, strict=True):
        values = flat[start : start + size].view(shape)
        start += size
        if kind == "affine":
            h = h @ values[:-1] + values[-1]
        elif kind == "weight":
            h = functional.relu(h) if layer else h
            h = values @ h
        elif kind == "bias":
            h = h + values
        elif kind == "gain":
            h = functional.layer_norm(h, h.shape) * values
        else:
            h = h + values
    return h


class Second:
    """The same learner, in float64 and scalar by scalar."""

    def __init__(self, learner: CQLSAC) -> None:
        self.learner, self.discrete = learner, learner.spec.discrete
        self.phi = learner.policy.net.flat.detach().double().requires_grad_()
        self.theta = learner.critic.members.flat.detach().double().requires_grad_()
        self.target = learner.target_critic.members.flat.detach().double()
        self.alpha = learner.log_temperature.double().exp()

    def q(self, flat: Tensor, k: int, s: Tensor, a: Tensor) -> Tensor:
        layout = self.learner.critic.members.layout
        if self.discrete:
            return network(flat, layout, k, s)[a]
        return network(flat, layout, k, torch.cat([s, a]))[0]

    def policy(self, s: Tensor) -> distributions.Distribution:
        output = network(self.phi, self.learner.policy.net.layout, 0, s)
        if self.discrete:
            return distributions.Categorical(logits=output)
        sigma = output[2:].clamp(LOG_SIGMA_MIN, LOG_SIGMA_MAX).exp()
        tanh = distributions.transforms.TanhTransform(cache_size=1)
        return distributions.Independent(
            distributions.TransformedDistribution(distributions.Normal(output[:2], sigma), [tanh]),
            1,
        )

    def action(self, s: Tensor, noise: Tensor) -> Tensor:
        output = network(self.phi, self.learner.policy.net.layout, 0, s)
        return torch.tanh(output[:2] + output[2:].clamp(LOG_SIGMA_MIN, LOG_SIGMA_MAX).exp() * noise)

    def soft_value(self, flat: Tensor, s: Tensor, noise: Tensor) -> Tensor:
        pi = self.policy(s)
        actions = [torch.tensor(a) for a in range(4)]
        if not self.discrete:
            actions = [self.action(s, noise[0])]
        total = torch.zeros((), dtype=torch.float64)
        for a in actions:
            weight = pi.log_prob(a).exp() if self.discrete else 1.0
            least = torch.minimum(*(self.q(flat, k, s, a) for k in range(2)))
            total = total + weight * (least - self.alpha * pi.log_prob(a))
        return total

    def log_integral(self, k: int, s: Tensor, there: Tensor, uniform, noise) -> Tensor:
        """log of the sum, or the integral, of exp Q(s, .) over all actions."""
        if self.discrete:
            return (
                torch.stack([self.q(self.theta, k, s, torch.tensor(a)) for a in range(4)])
                .exp()
                .sum()
                .log()
            )
        n, terms = len(uniform), []
        for u in uniform:
            terms.append(self.q(self.theta, k, s, 2 * u - 1).exp() * 4)
        for place, e in zip([s] * n + [there] * n, noise, strict=True):
            a = self.action(place, e).detach()
            density = self.policy(place).log_prob(a).exp().detach()
            terms.append(self.q(self.theta, k, s, a).exp() / density)
        return (sum(terms) / len(terms)).log()

    def losses(self, rows: Batch) -> tuple[Tensor, Tensor]:
        noise = [part.double() for part in self.learner._noise(B, P)]
        s, s_next = rows.observations.double(), rows.next_observations.double()
        actions = rows.actions if self.discrete else rows.actions.double()
        critic = torch.zeros((), dtype=torch.float64)
        policy = torch.zeros((), dtype=torch.float64)
        for i in range(B):
            eps, eps_next = noise[0][i], noise[0][B + i]
            y = rows.rewards[i].double() + CONFIG.discount * (
                1 - rows.terminations[i].double()
            ) * self.soft_value(self.target, s_next[i], eps_next)
            for k in range(2):
                q = self.q(self.theta, k, s[i], actions[i])
                critic = critic + 0.5 * (q - y.detach()) ** 2 / B
                if i < P:
                    penalties = (None, None) if self.discrete else (noise[2][i], noise[1][i])
                    gap = self.log_integral(k, s[i], s_next[i], *penalties) - q
                    critic = critic + ALPHA_CQL * gap / P
            policy = policy - self.soft_value(self.theta, s[i], eps) / B
            if self.learner.config.forward_kl and i < P:
                least = torch.minimum(
                    *(
                        network(self.theta, self.learner.critic.members.layout, k, s[i])
                        for k in (0, 1)
                    )
                )
                best = distributions.Categorical(logits=least.detach() / self.alpha)
                pi = self.policy(s[i])
                policy = policy + self.alpha * distributions.kl_divergence(best, pi) / P
            if i < P:
                weight = self.learner.config.cloning_weight
                policy = policy - weight * self.policy(s[i]).log_prob(actions[i]) / P
        return critic, policy


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize(
    ("spec", "options"),
    [
        (ActionSpec(True, 4), {}),
        (ActionSpec(True, 4), {"forward_kl": True}),
        (ActionSpec(True, 4), {"cloning_weight": 3.0}),
        (ActionSpec(False, 2), {}),
        (ActionSpec(False, 2), {"cloning_weight": 3.0}),
    ],
)
def test_an_update_is_the_papers_in_float64(
    spec: ActionSpec, options: dict, *, layer_norm: bool
) -> None:
    config = replace(CONFIG, layer_norm=layer_norm, **options)
    learner = CQLSAC(config, spec, 8, 1)
    for step in range(5):
        learner.update(batch(spec, step))
    rows = batch(spec, 99)
    second = Second(learner)
    critic, policy = second.losses(rows)
    (of_critic,) = torch.autograd.grad(critic, [second.theta], retain_graph=True)
    (of_policy,) = torch.autograd.grad(policy, [second.phi])
    found: dict[str, Tensor] = {}
    for name, optimizer in learner.optimizers.items():
        optimizer.step = lambda g, name=name: found.update({name: g.clone()})  # type: ignore[method-assign]
    metrics = learner.update(rows)
    assert metrics["critic_loss"].item() == pytest.approx(critic.item(), rel=1e-5)
    loss = metrics["policy_loss"] + metrics.get("forward_kl", 0.0)
    loss = loss + config.cloning_weight * metrics.get("cloning_loss", 0.0)
    assert loss.item() == pytest.approx(policy.item(), rel=1e-5)
    for name, expected in (("critic", of_critic), ("policy", of_policy)):
        error = torch.linalg.vector_norm(found[name].double() - expected)
        assert error < 1e-5 * torch.linalg.vector_norm(expected), name
    assert math.isfinite(metrics["temperature"].item())
