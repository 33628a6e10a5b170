"""The base class: what a learner with autograd gets from it."""

import pytest
import torch
from random_batch import random_batch

from lunar_offline.agents import losses
from lunar_offline.agents.learner import Batch, ValueLearner
from lunar_offline.agents.learner_config import ValueConfig
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.policies import make_critic, make_policy
from lunar_offline.errors import UsageError
from lunar_offline.seeding import Purpose, generator

SPEC = ActionSpec(True, 4)


class Cloning(ValueLearner[ValueConfig]):
    """Behavior cloning with a critic of the rewards."""

    autograd = True

    def build(self) -> None:
        rng = generator(self.seed, Purpose.INITIALIZATION)
        self.policy = self.trained("policy", make_policy(self.spec, 8, (16,), rng))
        self.critic = self.trained("critic", make_critic(SPEC, 8, (16,), 2, rng, layer_norm=False))
        self.target_critic = self.target_of("critic", self.critic)

    def _update(self, batch: Batch, online_episode: int | None) -> dict[str, torch.Tensor]:
        q_KB = self.critic(batch.observations, batch.actions.unsqueeze(1)).squeeze(2)
        log_prob_B = self.policy.log_prob(self.policy(batch.observations), batch.actions)
        critic_loss = losses.critic_loss(q_KB, batch.rewards)
        # the policy's loss depends on the critic too, which must not learn from it
        policy_loss = -(log_prob_B * q_KB.min(0).values).mean()
        self.minimize(critic=critic_loss, policy=policy_loss)
        self.move_target("critic", 0.5)
        return {"policy_loss": policy_loss, "critic_loss": critic_loss}

    def values(self, observations_BD: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(observations_BD))


def cloning(policy_tau: float = 1.0) -> Cloning:
    return Cloning(ValueConfig(hidden=(16,), policy_tau=policy_tau), SPEC, 8, 3)


def test_an_update_with_autograd_steps_each_network_along_its_own_loss() -> None:
    learner, twin, batch = cloning(), cloning(), random_batch(SPEC)
    metrics = learner.update(batch)
    assert not any(value.requires_grad or value.is_inference() for value in metrics.values())
    q_KB = twin.critic(batch.observations, batch.actions.unsqueeze(1)).squeeze(2)
    log_prob_B = twin.policy.log_prob(twin.policy(batch.observations), batch.actions)
    for name, loss in (
        ("critic", losses.critic_loss(q_KB, batch.rewards)),
        ("policy", -(log_prob_B * q_KB.min(0).values).mean()),
    ):
        parameter = twin.optimizers[name].parameter
        (gradient,) = torch.autograd.grad(loss, [parameter], retain_graph=True)
        twin.optimizers[name].step(gradient)
        assert torch.equal(learner.optimizers[name].parameter, parameter)
    initial = cloning().target_critic.members.flat
    half = initial + 0.5 * (learner.critic.members.flat.detach() - initial)
    assert torch.allclose(learner.target_critic.members.flat, half)


def test_its_state_is_its_networks_targets_average_and_optimizers() -> None:
    learner = cloning(policy_tau=0.5)
    names = {name.rsplit(".", 1)[0] for name in learner.state_tensors()}
    assert names == {
        "policy.net",
        "critic.members",
        "target_critic.members",
        "averaged_policy.net",
        "optimizer.policy",
        "optimizer.critic",
    }
    for step in range(3):
        learner.update(random_batch(SPEC, counter=step))
    restored = cloning(policy_tau=0.5)
    state = {name: value.clone() for name, value in learner.state_tensors().items()}
    restored.load_state_tensors(state, learner.update_step)
    for each in (learner, restored):
        each.update(random_batch(SPEC, counter=3))
    for name, value in learner.state_tensors().items():
        assert torch.equal(value, restored.state_tensors()[name]), name


def test_noise_is_counted_by_the_update() -> None:
    learner, twin = cloning(), cloning()
    first = learner.draw_noise(3, 2)
    assert first.shape == (3, 2)
    assert first.dtype == torch.float32
    assert torch.equal(first, learner.draw_noise(3, 2))
    assert torch.equal(first, twin.draw_noise(3, 2))
    learner.update(random_batch(SPEC))
    assert not torch.equal(first, learner.draw_noise(3, 2))


def test_a_network_with_several_parameters_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="Linear has 2 parameters; a learner's network has one"):
        cloning().trained("other", torch.nn.utils.skip_init(torch.nn.Linear, 2, 2))
