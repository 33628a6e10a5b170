"""TD3+BC (Fujimoto and Gu 2021, arXiv 2106.06860): TD3 with behavior cloning, continuous only."""

from __future__ import annotations

from dataclasses import dataclass

from lunar_offline.agents.lazy_imports import losses, policies, torch
from lunar_offline.agents.learner import Algorithm, Batch, ValueLearner
from lunar_offline.agents.learner_config import ValueConfig
from lunar_offline.errors import UsageError
from lunar_offline.options import RunKind, inherited, option
from lunar_offline.seeding import Purpose, generator

METRICS = {
    "td_loss": "sum over critics of half the mean squared TD error",
    "policy_loss": "`q_weight` times -mean Q / mean |Q|, plus `cloning_loss`; delayed updates",
    "cloning_loss": "mean squared difference of the policy's and the dataset's actions",
    "q_mean": "mean Q of the batch's actions",
}


def normalized_q_loss(q_B: torch.Tensor, q_weight: float) -> torch.Tensor:
    """Return -lambda mean(Q), lambda = q_weight / mean|Q| without a gradient (Eqs. 4 and 5)."""
    return -(q_weight / q_B.detach().abs().mean()) * q_B.mean()


def smoothed(actions: torch.Tensor, drawn: torch.Tensor, sigma: float, clip: float) -> torch.Tensor:
    """Return actions with clipped Gaussian noise: TD3's target policy smoothing.

    Args:
        actions: in [-1, 1].
        drawn: standard normal, of the same shape.
        sigma: standard deviation of the noise.
        clip: largest magnitude of the noise.
    """
    return (actions + (sigma * drawn).clamp(-clip, clip)).clamp(-1.0, 1.0)


@dataclass(frozen=True)
class TD3BCConfig(ValueConfig):
    """Hyperparameters of TD3+BC; the preset `paper` holds its values."""

    learning_rate: float = inherited(ValueConfig, "learning_rate", paper=3e-4)
    tau: float = inherited(ValueConfig, "tau", paper=0.005)
    max_grad_norm: float = inherited(ValueConfig, "max_grad_norm", paper=0.0)
    q_weight: float = option(
        2.5, "Weight of Q against cloning in the policy's loss (alpha of the paper).", at_least=0.0
    )
    policy_delay: int = option(
        2, "Updates of the critics per update of policy and targets.", at_least=1, at_most=1_000
    )
    target_noise: float = option(
        0.2, "Standard deviation of the noise on the target policy's actions.", at_least=0.0
    )
    target_noise_clip: float = option(
        0.5, "Largest magnitude of the noise on the target policy's actions.", at_least=0.0
    )
    exploration_noise: float = option(
        0.1,
        "Standard deviation of the noise, before tanh, of sampled actions: online training and "
        "`evaluate --stochastic`.",
        at_least=0.01,
        at_most=1.0,
    )

    def check(self, run: RunKind) -> None:
        """See LearnerConfig."""
        super().check(run)
        if run.online:
            raise UsageError("algorithm td3-bc learns from a dataset: --rho must be above 0")
        check_continuous(discrete=run.discrete)


def check_continuous(*, discrete: bool) -> None:
    """Raise UsageError for discrete actions."""
    if discrete:
        raise UsageError("algorithm td3-bc needs continuous actions; use iql or cql-sac")


class TD3BC(ValueLearner[TD3BCConfig]):
    """A deterministic policy tanh(mu(s)) and two critics, with targets of both; see Learner.

    The cloning term covers the offline rows of a batch, all else every row. The policy has the
    usual Gaussian head with a constant sigma, which only exploration uses.

    Unlike the authors' code, observations are not normalized: a learner sees batches, never the
    dataset, and a policy file holds a plain network. The paper's ablation finds a small effect.
    """

    autograd = True
    greedy = True

    def build(self) -> None:
        """See Learner."""
        config, spec, d = self.config, self.spec, self.observation_size
        check_continuous(discrete=spec.discrete)
        rng = generator(self.seed, Purpose.INITIALIZATION)
        policy = policies.TanhGaussianPolicy(d, spec.size, config.hidden, rng)
        policy.fix_sigma(config.exploration_noise)
        self.policy = self.trained("policy", policy)
        self.critic = self.trained(
            "critic",
            policies.make_critic(spec, d, config.hidden, 2, rng, layer_norm=False),
            max_grad_norm=config.max_grad_norm,
        )
        self.target_policy = self.target_of("policy", policy)
        self.target_critic = self.target_of("critic", self.critic)

    def _actions(self, policy: policies.Policy, observations_BD: torch.Tensor) -> torch.Tensor:
        """Return tanh(mu), [B, 1, A]."""
        return policy(observations_BD)[:, : self.spec.size].tanh().unsqueeze(1)

    def _update(self, batch: Batch, online_episode: int | None) -> dict[str, torch.Tensor]:
        config, n = self.config, batch.n_offline
        with torch.no_grad():
            next_actions = self._actions(self.target_policy, batch.next_observations)
            drawn = self.draw_noise(*next_actions.shape)
            noisy = smoothed(next_actions, drawn, config.target_noise, config.target_noise_clip)
            next_value_B = self.target_critic(batch.next_observations, noisy).min(0).values[:, 0]
            target_B = losses.td_target(
                batch.rewards, batch.terminations, next_value_B, config.discount
            )
        q_KB = self.critic(batch.observations, batch.actions.unsqueeze(1)).squeeze(2)
        td_loss = losses.critic_loss(q_KB, target_B)
        self.minimize(critic=td_loss)
        metrics = {"td_loss": td_loss, "q_mean": q_KB.mean()}
        if (self.update_step + 1) % config.policy_delay == 0:
            actions = self._actions(self.policy, batch.observations)
            policy_loss = normalized_q_loss(
                self.critic(batch.observations, actions)[0, :, 0], config.q_weight
            )
            if n:  # a batch from a buffer of both may have no offline rows
                metrics["cloning_loss"] = (actions[:n, 0] - batch.actions[:n]).square().mean()
                policy_loss = policy_loss + metrics["cloning_loss"]
            metrics["policy_loss"] = policy_loss
            self.minimize(policy=policy_loss)
            self.move_target("policy", config.tau)
            self.move_target("critic", config.tau)
        return metrics

    def values(self, observations_BD: torch.Tensor) -> torch.Tensor:
        """See ValueLearner: min Q of the deterministic action; no entropy bonus."""
        with torch.no_grad():
            actions = self._actions(self.policy, observations_BD)
            return self.critic(observations_BD, actions).min(0).values[:, 0]


ALGORITHM = Algorithm(
    "td3-bc", "TD3 with behavior cloning; continuous actions only.", TD3BCConfig, TD3BC, METRICS
)
