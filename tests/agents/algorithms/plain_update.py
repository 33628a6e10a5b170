"""The gradients of one update of SAC and CQL-SAC, by autograd over the plain losses."""

from functools import partial

import torch
from random_batch import random_batch

from lunar_offline.agents import losses
from lunar_offline.agents.algorithms.cql_sac import CQLSAC, CQLSACConfig
from lunar_offline.agents.algorithms.sac import SAC
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.penalties import LogSumExp, expected_value, logsumexp_gap

SMALL = CQLSACConfig(hidden=(16, 16), n_proposals=3)
SPECS = {"discrete": ActionSpec(True, 4), "continuous": ActionSpec(False, 2)}


batch = partial(random_batch, n_offline=6)


def trained(spec: ActionSpec, seed: int, config: CQLSACConfig = SMALL) -> CQLSAC:
    """A learner after five updates."""
    learner = CQLSAC(config, spec, 8, seed)
    for step in range(5):
        learner.update(batch(spec, counter=step))
    return learner


def penalty_weight(config: CQLSACConfig, online_episode: int | None) -> float:
    """The weight of the penalty, as the options say it in words."""
    if config.penalty == "none":
        return 0.0
    if online_episode is None:
        return config.penalty_weight
    left = 1.0
    if config.anneal_episodes:
        left = max(0.0, (config.anneal_episodes - online_episode) / config.anneal_episodes)
    return config.online_penalty_weight * left


def plain_gradients(
    learner: SAC, rows: Batch, online_episode: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of an update for critic and policy, by autograd over the plain losses."""
    config, offline = learner.config, online_episode is None
    b, n, p, weight = len(rows.rewards), rows.n_offline, 0, 0.0
    if isinstance(config, CQLSACConfig):
        weight = penalty_weight(config, online_episode)
        p = (b if config.penalized_rows == "all" else n) if weight else 0
    noise, temperature = learner._noise(b, p), learner.log_temperature.exp()
    here, there = learner.policy(rows.observations), learner.policy(rows.next_observations)
    with torch.no_grad():
        next_set = learner.policy.action_set(there, noise.actions[b:])
        next_q = learner.target_critic(rows.next_observations, next_set.actions)
        value = losses.soft_value(learner._subset(next_q), next_set, temperature)
        target = losses.td_target(rows.rewards, rows.terminations, value, config.discount)
    q_KB = learner.critic(rows.observations, rows.actions[:, None])[:, :, 0]
    loss = losses.critic_loss(q_KB, target)
    if p:
        assert isinstance(learner, CQLSAC)
        penalty = learner.penalty
        assert penalty is not None
        with torch.no_grad():
            if penalty.measure == "actions":
                proposals = learner.policy.proposals(
                    here[:p], there[:p], noise.uniform, noise.proposals
                )
            else:
                proposals = learner.policy.action_set(here[:p], noise.proposals).proposals()
        q_KPM = learner.critic(rows.observations[:p], proposals.actions)
        if learner.config.calibrated:
            first, floor = proposals.first_of_policy, torch.full((p,), -torch.inf)
            floor[:n] = rows.returns
            raised = torch.maximum(q_KPM[:, :, first:], floor[:, None])
            q_KPM = torch.cat([q_KPM[:, :, :first], raised], dim=2)
        if isinstance(penalty, LogSumExp):
            gap = logsumexp_gap(q_KPM, proposals.log_weight_PM, q_KB[:, :p], penalty.temperature)
        else:
            gap = expected_value(q_KPM, proposals.log_weight_PM)
        loss = loss + learner.weight(weight) * gap.mean(1).sum()
    (of_critic,) = torch.autograd.grad(loss, [learner.critic.members.flat])
    action_set = learner.policy.action_set(here, noise.actions[:b])
    q_KBN = learner.critic(rows.observations, action_set.actions)
    if config.target_subset:
        q_KBN = q_KBN.mean(0, keepdim=True)
    loss = losses.policy_loss(q_KBN, action_set, temperature)
    if isinstance(config, CQLSACConfig) and n:
        if config.forward_kl if offline else config.online_forward_kl:
            loss = loss + losses.forward_kl(q_KBN[:, :n], action_set.split(n)[0], temperature)
        cloning_weight = config.cloning_weight if offline else config.online_cloning_weight
        if cloning_weight:
            log_prob, _ = learner.policy.log_prob_and_gradient(here[:n], rows.actions[:n])
            loss = loss - cloning_weight * log_prob.mean()
    (of_policy,) = torch.autograd.grad(loss, [learner.policy.net.flat])
    return of_critic, of_policy


def check_gradients(learner: SAC, rows: Batch, online_episode: int | None = None) -> None:
    """Take an update, and compare the gradients that its optimizers get with the plain ones."""
    plain = plain_gradients(learner, rows, online_episode)
    expected = dict(zip(("critic", "policy"), plain, strict=True))
    found: dict[str, torch.Tensor] = {}
    for name, optimizer in learner.optimizers.items():
        optimizer.step = lambda gradient, name=name: found.update({name: gradient.clone()})  # type: ignore[method-assign]
    learner.update(rows, online_episode)
    for name, gradient in expected.items():
        error = torch.linalg.vector_norm(found[name] - gradient)
        assert error < 1e-5 * torch.linalg.vector_norm(gradient), name
