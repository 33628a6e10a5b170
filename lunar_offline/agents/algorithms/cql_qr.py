"""CQL's Q-learning variant with a quantile critic (QR-DQN), for discrete actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lunar_offline.agents.lazy_imports import losses, networks, policies, torch
from lunar_offline.agents.learner import Algorithm, Batch, ValueLearner
from lunar_offline.agents.penalty_options import METRICS as PENALTY_METRICS
from lunar_offline.agents.penalty_options import ConservativeConfig
from lunar_offline.errors import UsageError
from lunar_offline.options import RunKind, option
from lunar_offline.seeding import Purpose, generator

QUANTILES = 32

METRICS = PENALTY_METRICS | {
    "td_loss": "quantile Huber loss (Dabney et al. 2018, Eq. 10)",
    "critic_loss": "`td_loss`, plus the weighted penalty if the update has one",
    "q_mean": "mean Q of the batch's actions",
}


@dataclass(frozen=True)
class CQLQRConfig(ConservativeConfig):
    """Hyperparameters of CQL with a quantile critic."""

    initial_temperature: float = option(
        1.0, "Temperature of the softmax over Q, for exploration.", above=0.0, best=1.0
    )

    def check(self, run: RunKind) -> None:
        """See LearnerConfig."""
        super().check(run)
        self.check_discrete(discrete=run.discrete)
        if self.penalty not in ("cql-h", "none"):
            raise UsageError(f"algorithm cql-qr has no policy, which {self.penalty} needs")

    def check_discrete(self, *, discrete: bool) -> None:
        """Raise UsageError for continuous actions."""
        if not discrete:
            raise UsageError("algorithm cql-qr needs discrete actions")


class CQLQR(ValueLearner[CQLQRConfig]):
    """One critic whose outputs are quantiles of the return of each action; see Learner.

    Targets use the greedy action of the target critic. The penalty applies to the mean over
    quantiles (Kumar et al. 2020, section 6, there on Atari). Values have no entropy bonus;
    exploration samples from softmax(Q / initial_temperature). The policy is the critic with its
    last layer averaged over quantiles; policies have no LayerNorm, so the critic has none.
    """

    greedy = True

    def build(self) -> None:
        """See Learner."""
        config, spec = self.config, self.spec
        config.check_discrete(discrete=spec.discrete)
        rng = generator(self.seed, Purpose.INITIALIZATION)
        self.penalty = config.make_penalty()
        layout = networks.Layout(
            1, self.observation_size, config.hidden, spec.size * QUANTILES, False
        )
        self.critic = self.trained("critic", networks.Ensemble(layout, rng))
        self.target_critic = self.target_of("critic", self.critic)
        self.policy = policies.CategoricalPolicy(
            self.observation_size, spec.size, config.hidden, rng
        )
        self.policy.to(self.device).requires_grad_(False)
        self.weight = config.make_weight(self.device)
        self._set_policy()

    def _update(self, batch: Batch, online_episode: int | None) -> dict[str, torch.Tensor]:
        b, p = len(batch.rewards), self.config.rows_at(batch, online_episode)
        z_BAQ, tape = self._quantiles(self.critic, batch.observations)
        next_z_BAQ, _ = self._quantiles(self.target_critic, batch.next_observations)
        greedy_B = next_z_BAQ.mean(2).argmax(1)
        rows = torch.arange(b, device=self.device)
        next_z_BQ = next_z_BAQ[rows, greedy_B]
        target_BQ = losses.td_target(
            batch.rewards.unsqueeze(1),
            batch.terminations.unsqueeze(1),
            next_z_BQ,
            self.config.discount,
        )
        td_loss, g_BQ = losses.quantile_loss_and_gradient(z_BAQ[rows, batch.actions], target_BQ)
        g_BAQ = torch.zeros_like(z_BAQ)
        g_BAQ[rows, batch.actions] = g_BQ
        q_BA = z_BAQ.mean(2)
        q_B = q_BA[rows, batch.actions]
        metrics = {"td_loss": td_loss, "critic_loss": td_loss, "q_mean": q_B.mean()}
        if self.penalty and p:
            q_1PA, q_1P = q_BA[:p].unsqueeze(0), q_B[:p].unsqueeze(0)
            gap, g_1PA, g_data = self.penalty(q_1PA, torch.zeros_like(q_BA[:p]), q_1P)
            g_PA = g_1PA[0]
            g_PA[rows[:p], batch.actions[:p]] += g_data
            weight = self.weight(self.config.weight_at(online_episode))
            g_BAQ[:p] += (weight * g_PA / QUANTILES).unsqueeze(2)
            metrics["penalty_gap"] = gap
            if self.config.lagrange:
                metrics["penalty_weight"] = torch.as_tensor(weight)
            metrics["critic_loss"] = td_loss + weight * gap
            metrics["action_gap"] = (q_1P - q_1PA.max(2).values).mean()
            self.weight.observe(gap)
        gradient = self.critic.backward(tape, g_BAQ.view(1, b, -1), of="parameters")
        if self.config.max_grad_norm:
            losses.clip_(gradient, self.config.max_grad_norm)
        self.optimizers["critic"].step(gradient)
        self.move_target("critic", self.config.tau)
        self._set_policy()
        return metrics

    def _quantiles(
        self, critic: networks.Ensemble, observations_BD: torch.Tensor
    ) -> tuple[torch.Tensor, networks.Tape]:
        z_1BO, tape = critic.run(observations_BD)
        return z_1BO.view(-1, self.spec.size, QUANTILES), tape

    def _set_policy(self) -> None:
        """Set the policy's logits to the mean over quantiles, divided by the temperature."""
        with torch.no_grad():
            (critic,) = self.critic.layout.views(self.critic.flat)
            (policy,) = self.policy.net.layout.views(self.policy.net.flat)
            for mine, its in zip(policy[:-1], critic[:-1], strict=True):
                mine["weight"].copy_(its["weight"])
                mine["bias"].copy_(its["bias"])
            t, a = self.config.initial_temperature, self.spec.size
            policy[-1]["weight"].copy_(critic[-1]["weight"].view(a, QUANTILES, -1).mean(1) / t)
            policy[-1]["bias"].copy_(critic[-1]["bias"].view(a, QUANTILES).mean(1) / t)

    def values(self, observations_BD: torch.Tensor) -> torch.Tensor:
        """See ValueLearner: max_a Q."""
        with torch.no_grad():
            z_BAQ, _ = self._quantiles(self.critic, observations_BD)
            return z_BAQ.mean(2).max(1).values

    def scalars(self) -> dict[str, torch.Tensor]:
        """See Learner."""
        return {f"weight.{name}": value for name, value in self.weight.state().items()}

    def load_state_tensors(self, tensors: Mapping[str, torch.Tensor], update_step: int) -> None:
        """See Learner."""
        super().load_state_tensors(tensors, update_step)
        self._set_policy()


ALGORITHM = Algorithm(
    "cql-qr",
    "CQL's Q-learning variant with a quantile critic; discrete actions only.",
    CQLQRConfig,
    CQLQR,
    METRICS,
)
