"""IQL, implicit Q-learning (Kostrikov et al. 2021, arXiv 2110.06169)."""

from __future__ import annotations

from dataclasses import dataclass

from lunar_offline.agents.lazy_imports import losses, networks, policies, torch
from lunar_offline.agents.learner import Algorithm, Batch, ValueLearner
from lunar_offline.agents.learner_config import ValueConfig
from lunar_offline.options import inherited, option
from lunar_offline.seeding import Purpose, generator

MAX_WEIGHT = 100.0  # of a row in the policy's loss, as in the authors' code

METRICS = {
    "value_loss": "expectile loss of V (Eq. 5 of the IQL paper)",
    "td_loss": "sum over critics of half the mean squared TD error (Eq. 6)",
    "policy_loss": "-log pi of the batch's actions, weighted by their advantages (Eq. 7)",
    "q_mean": "mean Q of the batch's actions",
    "advantage": "mean of min Q_target - V of the batch's actions",
    "clipped_weights": "fraction of rows whose weight in the policy's loss is clipped at 100",
}


def expectile_loss(difference_B: torch.Tensor, expectile: float) -> torch.Tensor:
    """Return the mean of |expectile - 1[u < 0]| u^2 over u (Eqs. 3 and 5), for u = Q - V."""
    weight_B = torch.where(difference_B < 0.0, 1.0 - expectile, expectile)
    return (weight_B * difference_B.square()).mean()


def advantage_weight(advantage_B: torch.Tensor, inverse_temperature: float) -> torch.Tensor:
    """Return min(exp(inverse_temperature * A), 100), the weights of Eq. 7."""
    return (inverse_temperature * advantage_B).exp().clamp(max=MAX_WEIGHT)


def weighted_cloning_loss(log_prob_B: torch.Tensor, weight_B: torch.Tensor) -> torch.Tensor:
    """Return the mean of -weight * log pi(a | s): advantage-weighted regression (Eq. 7)."""
    return -(weight_B * log_prob_B).mean()


@dataclass(frozen=True)
class IQLConfig(ValueConfig):
    """Hyperparameters of IQL; the preset `paper` holds its values for locomotion."""

    learning_rate: float = inherited(ValueConfig, "learning_rate", paper=3e-4)
    tau: float = inherited(ValueConfig, "tau", paper=0.005)
    max_grad_norm: float = inherited(ValueConfig, "max_grad_norm", paper=0.0)
    expectile: float = option(
        0.7,
        "Expectile of Q over the dataset's actions that V estimates: 0.5 is the mean, near 1 the "
        "maximum.",
        above=0.0,
        at_most=1.0,
    )
    inverse_temperature: float = option(
        3.0,
        "Factor of the advantage in the weights of the policy's loss; 0 is behavior cloning.",
        at_least=0.0,
        # the lander's rewards are not scaled down, and its values are noisy for long
        best=0.5,
    )


class IQL(ValueLearner[IQLConfig]):
    """Policy, two critics with targets, and a value function V; see Learner.

    V is an expectile of Q over the dataset's actions, so no loss evaluates Q at another action. The
    policy clones actions, weighted by exp(advantage). All gradients are taken at the parameters
    before the update. All rows of a batch are treated alike, so the algorithm also learns from a
    mix with online rows, and from online rows alone.
    """

    autograd = True
    greedy = True

    def build(self) -> None:
        """See Learner."""
        config, d = self.config, self.observation_size
        rng = generator(self.seed, Purpose.INITIALIZATION)
        self.policy = self.trained("policy", policies.make_policy(self.spec, d, config.hidden, rng))
        self.critic = self.trained(
            "critic",
            policies.make_critic(self.spec, d, config.hidden, 2, rng, layer_norm=False),
            max_grad_norm=config.max_grad_norm,
        )
        self.target_critic = self.target_of("critic", self.critic)
        layout = networks.Layout(1, d, config.hidden, 1, layer_norm=False)
        self.value = self.trained("value", networks.Ensemble(layout, rng))

    def _update(self, batch: Batch, online_episode: int | None) -> dict[str, torch.Tensor]:
        config, actions = self.config, batch.actions.unsqueeze(1)
        with torch.no_grad():
            next_value_B = self.values(batch.next_observations)
            target_B = losses.td_target(
                batch.rewards, batch.terminations, next_value_B, config.discount
            )
            target_q_B = self.target_critic(batch.observations, actions).min(0).values[:, 0]
        difference_B = target_q_B - self.value(batch.observations).flatten()
        weight_B = advantage_weight(difference_B.detach(), config.inverse_temperature)
        q_KB = self.critic(batch.observations, actions).squeeze(2)
        log_prob_B = self.policy.log_prob(self.policy(batch.observations), batch.actions)
        value_loss = expectile_loss(difference_B, config.expectile)
        td_loss = losses.critic_loss(q_KB, target_B)
        policy_loss = weighted_cloning_loss(log_prob_B, weight_B)
        self.minimize(value=value_loss, critic=td_loss, policy=policy_loss)
        self.move_target("critic", config.tau)
        return {
            "value_loss": value_loss,
            "td_loss": td_loss,
            "policy_loss": policy_loss,
            "q_mean": q_KB.mean(),
            "advantage": difference_B.mean(),
            "clipped_weights": (weight_B == MAX_WEIGHT).float().mean(),
        }

    def values(self, observations_BD: torch.Tensor) -> torch.Tensor:
        """See ValueLearner: V, which estimates the best action in the data; no entropy bonus."""
        with torch.no_grad():
            return self.value(observations_BD).flatten()


ALGORITHM = Algorithm(
    "iql", "IQL: expectile values and advantage-weighted cloning.", IQLConfig, IQL, METRICS
)
