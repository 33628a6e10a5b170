"""SAC (Haarnoja et al. 2018; discrete: Christodoulou 2019) with an ensemble of critics."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from lunar_offline.agents import lazy_imports
from lunar_offline.agents.lazy_imports import action_sets, critics, losses, noise, policies, torch
from lunar_offline.agents.learner import Algorithm, Batch, ValueLearner
from lunar_offline.agents.learner_config import MAX_WEIGHTS, ValueConfig
from lunar_offline.errors import UsageError
from lunar_offline.options import RunKind, option
from lunar_offline.seeding import Purpose, generator

VALUE_SAMPLES = 64

METRICS = {
    "td_loss": "sum over critics of half the mean squared TD error",
    "critic_loss": "`td_loss`, plus the weighted penalty if the update has one",
    "policy_loss": "minus the mean soft value (Eq. 13)",
    "entropy": "mean entropy of the policy, in nats",
    "temperature": "weight of the entropy bonus",
    "q_mean": "mean Q of the batch's actions",
}


@dataclass(frozen=True)
class SACConfig(ValueConfig):
    """Hyperparameters of SAC."""

    layer_norm: bool = option(
        True, "LayerNorm in the critics (RLPD, Ball et al. 2023).", paper=False
    )
    n_critics: int = option(2, "Number of critics; their minimum is used.", at_least=1, at_most=64)
    target_subset: int = option(
        0,
        "Number of critics drawn for each update, whose minimum gives the target (REDQ, Chen et "
        "al. 2021; the policy's loss then uses the mean of all critics); 0 uses all of them.",
        at_least=0,
    )
    initial_temperature: float = option(
        1.0, "Initial temperature of the entropy bonus.", above=0.0, best=1.0
    )
    entropy_fraction: float = option(
        0.3,
        "Discrete actions: target entropy as a fraction of ln(actions).",
        at_least=0.0,
        at_most=1.0,
        # from data alone, 0.2 ln 4 learns less than 0.3 ln 4; after online training, as much
        best=lambda run: 0.2 if run.mixed else 0.3,
    )
    entropy_per_dimension: float = option(
        -1.0,
        "Continuous actions: target entropy per action dimension; -1 is the default of SAC.",
        unit="nats",
        # a policy with less entropy lands without a safety margin, and crashes
        best=-0.5,
    )

    def check(self, run: RunKind) -> None:
        """See LearnerConfig."""
        super().check(run)
        if self.target_subset > self.n_critics:
            raise UsageError(f"agent.target_subset {self.target_subset} is above agent.n_critics")
        weights = self.n_critics * sum(a * b for a, b in itertools.pairwise(self.hidden))
        if weights > 4 * MAX_WEIGHTS:
            raise UsageError(f"agent.n_critics {self.n_critics} is too large for agent.hidden")


class Step(NamedTuple):
    """The values that the parts of one update share; each part adds to `metrics`."""

    batch: Batch
    online_episode: int | None
    temperature: torch.Tensor
    metrics: dict[str, torch.Tensor]


SACConfigT = TypeVar("SACConfigT", bound=SACConfig)


class SAC(ValueLearner[SACConfigT]):
    """Policy, critics, target critics and temperature; see Learner.

    All gradients are taken at the parameters before the update, as in JaxCQL. A subclass can add
    terms to the losses of critics and policy.
    """

    n_proposals = 1  # for the penalty of a subclass
    quasi_random = False
    uses_bf16 = True

    def build(self) -> None:
        """See Learner."""
        config, spec = self.config, self.spec
        rng = generator(self.seed, Purpose.INITIALIZATION)
        self.policy = self.trained(
            "policy", policies.make_policy(spec, self.observation_size, config.hidden, rng)
        )
        self.critic = self.trained(
            "critic",
            policies.make_critic(
                spec,
                self.observation_size,
                config.hidden,
                config.n_critics,
                rng,
                layer_norm=config.layer_norm,
            ),
        )
        self.target_critic = self.target_of("critic", self.critic)
        self.log_temperature = torch.tensor(
            math.log(config.initial_temperature), device=self.device
        )
        self.target_entropy = policies.target_entropy(
            spec, config.entropy_fraction, config.entropy_per_dimension
        )
        self.optimizers["temperature"] = lazy_imports.optimizer.Adam(
            self.log_temperature, config.learning_rate
        )

    def _update(self, batch: Batch, online_episode: int | None) -> dict[str, torch.Tensor]:
        step = Step(batch, online_episode, self.log_temperature.exp(), {})
        b, p = len(batch.rewards), self._penalized_rows(step)
        drawn, metrics = self._noise(b, p), step.metrics
        output_1BO, policy_tape = self.policy.net.run(
            torch.cat([batch.observations, batch.next_observations])
        )
        output = output_1BO[0]
        action_set, next_set = self.policy.action_set(output, drawn.actions).split(b)
        next_q, _ = self.target_critic.run(batch.next_observations, next_set.actions)
        next_value = losses.soft_value(self._subset(next_q), next_set, step.temperature)
        target = losses.td_target(
            batch.rewards, batch.terminations, next_value, self.config.discount
        )
        proposals = self._proposals(output[:p], output[b : b + p], drawn) if p else None
        values = self.critic.evaluate(
            batch.observations,
            batch.actions,
            proposals.actions if proposals else None,
            action_set.actions,
        )
        gradient = self._critic_gradient(step, values, target, proposals)
        g_output = self._policy_gradient(step, values, output[:b], drawn.actions[:b], action_set)
        metrics["entropy"] = losses.entropy(action_set)
        metrics["temperature"] = step.temperature
        if p:
            metrics["action_gap"] = losses.action_gap(
                values.q_KB[:, :p], values.q_KBN[:, :p], action_set.weight_BN[:p]
            )
        self.optimizers["critic"].step(gradient)
        self.optimizers["policy"].step(
            self.policy.net.backward(policy_tape, g_output.unsqueeze(0), of="parameters")
        )
        self.optimizers["temperature"].step(
            losses.temperature_gradient(metrics["entropy"], self.target_entropy)
        )
        self.move_target("critic", self.config.tau)
        return metrics

    def _critic_gradient(
        self,
        step: Step,
        values: critics.Values,
        target: torch.Tensor,
        proposals: action_sets.Proposals | None,
    ) -> torch.Tensor:
        """Return the gradient of the critics' loss with respect to their parameters."""
        td_loss, g_KB = losses.critic_loss_and_gradient(values.q_KB, target)
        step.metrics.update(td_loss=td_loss, critic_loss=td_loss, q_mean=values.q_KB.mean())
        g_KPM = actions = None
        if proposals is not None:
            g_KPM, actions = self._penalize(step, values, proposals, g_KB), proposals.actions
        gradient = self.critic.parameter_gradient(values, step.batch.actions, actions, g_KB, g_KPM)
        if self.config.max_grad_norm:
            losses.clip_(gradient, self.config.max_grad_norm)
        return gradient

    def _policy_gradient(
        self,
        step: Step,
        values: critics.Values,
        output: torch.Tensor,
        drawn: torch.Tensor,
        action_set: action_sets.ActionSet,
    ) -> torch.Tensor:
        """Return the gradient of the policy's loss with respect to its outputs [B, O]."""
        q_KBN, k = values.q_KBN, len(values.q_KBN)
        if self.config.target_subset:
            q_KBN = q_KBN.mean(0, keepdim=True)
        loss, g = losses.policy_loss_and_gradient(q_KBN, action_set, step.temperature)
        step.metrics["policy_loss"] = loss
        if self.config.target_subset:
            g = g._replace(q_KBN=(g.q_KBN / k).expand(k, -1, -1))
        self._add_to_set_gradient(step, q_KBN, action_set, g.log_prob_BN)
        g_output = self.policy.output_gradient(
            output,
            drawn,
            action_set.actions,
            self.critic.action_gradient(values, g.q_KBN),
            g.log_prob_BN,
            g.weight_BN,
        )
        self._add_to_output_gradient(step, output, g_output)
        return g_output

    def _penalized_rows(self, step: Step) -> int:
        """Return the number of leading rows of the batch that a penalty covers."""
        return 0

    def _proposals(
        self, here: torch.Tensor, there: torch.Tensor, drawn: noise.Noise
    ) -> action_sets.Proposals:
        """Return the penalty's proposals, from the policy's outputs at s and s'."""
        raise NotImplementedError

    def _penalize(
        self,
        step: Step,
        values: critics.Values,
        proposals: action_sets.Proposals,
        g_KB: torch.Tensor,
    ) -> torch.Tensor:
        """Add the penalty to `g_KB`; return its gradient with respect to the proposals' values."""
        raise NotImplementedError

    def _add_to_set_gradient(
        self,
        step: Step,
        q_KBN: torch.Tensor,
        action_set: action_sets.ActionSet,
        g_log_prob_BN: torch.Tensor,
    ) -> None:
        """Add the gradient of further terms of the policy's loss to `g_log_prob_BN`."""

    def _add_to_output_gradient(
        self, step: Step, output: torch.Tensor, g_output: torch.Tensor
    ) -> None:
        """Add the gradient of further terms of the policy's loss to `g_output`."""

    def _subset(self, q_KBN: torch.Tensor) -> torch.Tensor:
        """Return the values of the critics whose minimum gives this update's targets."""
        k, size = len(q_KBN), self.config.target_subset
        if not size:
            return q_KBN
        rng = generator(self.seed, Purpose.CRITIC_SUBSET, self.update_step)
        return q_KBN[rng.permutation(k)[:size].tolist()]

    def _noise(self, b: int, p: int) -> noise.Noise:
        return noise.draw(
            self.seed,
            self.update_step,
            rows=b,
            penalized=p,
            n_proposals=self.n_proposals,
            action_size=self.policy.noise_size,
            quasi_random=self.quasi_random,
            device=self.device,
        )

    def values(self, observations_BD: torch.Tensor) -> torch.Tensor:
        """See ValueLearner; continuous: the mean over VALUE_SAMPLES actions."""
        rng = generator(self.seed, Purpose.DIAGNOSIS)
        shape = (len(observations_BD), VALUE_SAMPLES, self.policy.noise_size)
        drawn = lazy_imports.device.to_device(
            rng.standard_normal(shape, dtype="float32"), self.device
        )
        with torch.no_grad():
            output_1BO, _ = self.policy.net.run(observations_BD)
            action_set = self.policy.action_set(output_1BO[0], drawn)
            q_KBN, _ = self.critic.run(observations_BD, action_set.actions)
            return losses.soft_value(q_KBN, action_set, self.log_temperature.exp())

    def entropy_bonus(self, observations_BD: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """See ValueLearner: -temperature log pi(a | s)."""
        with torch.no_grad():
            output_1BO, _ = self.policy.net.run(observations_BD)
            log_prob_B, _ = self.policy.log_prob_and_gradient(output_1BO[0], actions)
            return -self.log_temperature.exp() * log_prob_B

    def scalars(self) -> dict[str, torch.Tensor]:
        """See Learner."""
        return {"log_temperature": self.log_temperature}


ALGORITHM = Algorithm("sac", "SAC, without a penalty on its critics.", SACConfig, SAC, METRICS)
