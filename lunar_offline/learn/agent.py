"""The CQL-SAC agent: modules, optimizers and one update. SAC is its penalty weight 0."""

import copy
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor

from lunar_offline.learn import losses
from lunar_offline.learn.action_sets import ActionSet, Proposals
from lunar_offline.learn.adam import Adam
from lunar_offline.learn.cloning import cloning_loss_and_gradient
from lunar_offline.learn.critics import Values
from lunar_offline.learn.learner import (
    AgentConfig,
    Batch,
    PolicyAverage,
    load_state,
    make_weight,
    named_state,
    to_device,
)
from lunar_offline.learn.noise import Noise, draw
from lunar_offline.learn.penalties import Penalty, calibrate
from lunar_offline.learn.policies import (
    ActionSpec,
    Critic,
    Policy,
    make_critic,
    make_policy,
    target_entropy,
)
from lunar_offline.learn.precision import bf16_products
from lunar_offline.seeding import Purpose, generator

VALUE_SAMPLES = 64


class Agent:
    """Policy, critics, target critics, temperature and their optimizers.

    Args:
        config: hyperparameters.
        spec: the action space.
        observation_size: D.
        seed: of the initialisation and of the noise of every update.
        device: where the tensors live.
        penalty: of the critics; None is SAC.
        bf16: see `bf16_products`.
    """

    greedy = False

    def __init__(
        self,
        config: AgentConfig,
        spec: ActionSpec,
        observation_size: int,
        seed: int,
        device: str = "cpu",
        *,
        penalty: Penalty | None,
        bf16: bool = False,
    ) -> None:
        rng = generator(seed, Purpose.INITIALISATION)
        self.config, self.spec, self.seed, self.device = config, spec, seed, torch.device(device)
        self.penalty, self.bf16 = penalty, bf16
        self.policy: Policy = make_policy(spec, observation_size, config.hidden, rng)
        self.critic: Critic = make_critic(
            spec,
            observation_size,
            config.hidden,
            config.n_critics,
            rng,
            layer_norm=config.layer_norm,
        )
        self.policy.to(self.device)
        self.average = PolicyAverage(self.policy, config.policy_tau)
        self.critic.to(self.device)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_temperature = torch.tensor(
            float(np.log(config.initial_temperature)), device=self.device
        )
        self.target_entropy = target_entropy(
            spec, config.entropy_fraction, config.entropy_per_dimension
        )
        self.weight = make_weight(config, self.device)
        self.parameters = {
            "policy": self.policy.net.flat,
            "critic": self.critic.members.flat,
            "temperature": self.log_temperature,
        }
        self.optimizers = {
            name: Adam(parameter, config.learning_rate)
            for name, parameter in self.parameters.items()
        }
        self.update_step = 0

    @torch.inference_mode()  # without a view's and a version's bookkeeping: 6% of a small update
    def update(self, batch: Batch, penalty_weight: float) -> dict[str, Tensor]:
        """Take one step on critics, policy, temperature and targets.

        All gradients are taken at the parameters that the update begins with, as in JaxCQL.

        The critic loss is `td_loss + penalty_weight * penalty_gap`, the gap averaged over the
        first `batch.n_penalised` rows and summed over critics (Eq. 17).

        Args:
            batch: see Batch.
            penalty_weight: 0 leaves the penalty out and is plain SAC; a Lagrange factor goes on
                top.

        Returns:
            Detached scalars by metric name; nothing is copied off the device.
        """
        with bf16_products() if self.bf16 else nullcontext():
            return self._update(batch, penalty_weight)

    def _update(self, batch: Batch, penalty_weight: float) -> dict[str, Tensor]:
        b = len(batch.rewards)
        p = batch.n_penalised if self.penalty and penalty_weight else 0
        noise = self._noise(b, p)
        temperature = self.log_temperature.exp()
        output_1BO, policy_tape = self.policy.net.run(
            torch.cat([batch.observations, batch.next_observations])
        )
        output = output_1BO[0]
        action_set, next_set = self.policy.action_set(output, noise.actions).split(b)
        next_q, _ = self.target_critic.run(batch.next_observations, next_set.actions)
        next_value = losses.soft_value(self._subset(next_q), next_set, temperature)
        target = losses.td_target(
            batch.rewards, batch.terminations, next_value, self.config.discount
        )
        proposals = self._proposals(output[:p], output[b : b + p], noise) if p else None
        values = self.critic.evaluate(
            batch.observations,
            batch.actions,
            proposals.actions if proposals else None,
            action_set.actions,
        )
        metrics, gradient = self._critic_gradient(batch, values, target, proposals, penalty_weight)
        g_output, more = self._policy_gradient(
            batch, p, values, output[:b], noise.actions[:b], action_set, temperature
        )
        metrics |= more
        metrics["entropy"] = losses.entropy(action_set)
        metrics["temperature"] = temperature
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
        losses.lerp_(self.target_critic.members.flat, self.critic.members.flat, self.config.tau)
        self.average.step()
        self.update_step += 1
        return metrics

    def _policy_gradient(
        self,
        batch: Batch,
        p: int,
        values: Values,
        output: Tensor,
        noise: Tensor,
        action_set: ActionSet,
        temperature: Tensor,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the gradient of the policy's outputs [B, O], and metrics."""
        q_KBN, k = values.q_KBN, len(values.q_KBN)
        if self.config.target_subset:
            q_KBN = q_KBN.mean(0, keepdim=True)
        loss, g = losses.policy_loss_and_gradient(q_KBN, action_set, temperature)
        metrics = {"policy_loss": loss}
        if self.config.target_subset:
            g = g._replace(q_KBN=(g.q_KBN / k).expand(k, -1, -1))
        if self.config.forward_kl and p:
            penalised = action_set.split(p)[0]
            metrics["forward_kl"], more = losses.forward_kl_and_gradient(
                q_KBN[:, :p], penalised, temperature
            )
            g.log_prob_BN[:p] += more
        g_output = self.policy.output_gradient(
            output,
            noise,
            action_set.actions,
            self.critic.action_gradient(values, g.q_KBN),
            g.log_prob_BN,
            g.weight_BN,
        )
        if self.config.cloning_weight and p:
            metrics["cloning_loss"], more = cloning_loss_and_gradient(
                self.policy, output[:p], batch.actions[:p]
            )
            g_output[:p] += self.config.cloning_weight * more
        return g_output, metrics

    def _proposals(self, here: Tensor, there: Tensor, noise: Noise) -> Proposals:
        """Sample the penalty's base measure from the policy's outputs at s and s'."""
        assert self.penalty is not None
        if self.penalty.measure == "policy":
            return self.policy.action_set(here, noise.proposals).proposals()
        return self.policy.proposals(here, there, noise.uniform, noise.proposals)

    def _subset(self, q_KBN: Tensor) -> Tensor:
        """Return the critics whose minimum makes this update's targets."""
        k, size = len(q_KBN), self.config.target_subset
        if not size:
            return q_KBN
        rng = generator(self.seed, Purpose.CRITIC_SUBSET, self.update_step)
        return q_KBN[rng.permutation(k)[:size].tolist()]

    def _critic_gradient(
        self,
        batch: Batch,
        values: Values,
        target: Tensor,
        proposals: Proposals | None,
        penalty_weight: float,
    ) -> tuple[dict[str, Tensor], Tensor]:
        td_loss, g_KB = losses.critic_loss_and_gradient(values.q_KB, target)
        metrics = {"td_loss": td_loss, "critic_loss": td_loss, "q_mean": values.q_KB.mean()}
        actions = g_KPM = None
        if self.penalty and proposals and values.q_KPM is not None:
            actions, p = proposals.actions, len(proposals.actions)
            q_KPM, inside = values.q_KPM, None
            if self.config.calibrated and batch.returns is not None:
                q_KPM, inside = calibrate(q_KPM, batch.returns, proposals.first_of_policy)
            gap, g_KPM, g_data = self.penalty(q_KPM, proposals.log_weight_PM, values.q_KB[:, :p])
            weight = self.weight(penalty_weight)
            metrics["penalty_gap"] = gap
            metrics["critic_loss"] = td_loss + weight * gap
            if g_data:
                g_KB[:, :p] += weight * g_data
            g_KPM *= weight if inside is None else weight * inside
            if self.config.lagrange:
                metrics["penalty_weight"] = torch.as_tensor(weight)
                self.weight.observe(gap / len(values.q_KB))
        gradient = self.critic.parameter_gradient(values, batch.actions, actions, g_KB, g_KPM)
        if self.config.max_grad_norm:
            losses.clip_(gradient, self.config.max_grad_norm)
        return metrics, gradient

    def _noise(self, b: int, p: int) -> Noise:
        return draw(
            self.seed,
            self.update_step,
            rows=b,
            penalised=p,
            n_proposals=self.config.n_proposals,
            action_size=self.policy.noise_size,
            quasi_random=self.config.quasi_random,
            device=self.device,
        )

    @torch.no_grad()
    def values(self, observations_BD: Tensor) -> Tensor:
        """See ValueLearner; continuous: the mean over VALUE_SAMPLES actions."""
        rng = generator(self.seed, Purpose.DIAGNOSIS)
        shape = (len(observations_BD), VALUE_SAMPLES, self.policy.noise_size)
        noise = to_device(rng.standard_normal(shape, dtype=np.float32), self.device)
        output_1BO, _ = self.policy.net.run(observations_BD)
        action_set = self.policy.action_set(output_1BO[0], noise)
        q_KBN, _ = self.critic.run(observations_BD, action_set.actions)
        return losses.soft_value(q_KBN, action_set, self.log_temperature.exp())

    @torch.no_grad()
    def entropy_bonus(self, observations_BD: Tensor, actions: Tensor) -> Tensor:
        """See ValueLearner: -temperature log pi(a | s)."""
        output_1BO, _ = self.policy.net.run(observations_BD)
        log_prob_B, _ = self.policy.log_prob_and_gradient(output_1BO[0], actions)
        return -self.log_temperature.exp() * log_prob_B

    def state_tensors(self) -> dict[str, Tensor]:
        """See Learner."""
        return named_state(self._modules(), self.optimizers) | {
            "log_temperature": self.log_temperature.detach(),
            **{f"weight.{name}": value for name, value in self.weight.state().items()},
        }

    def load_state_tensors(self, tensors: dict[str, Tensor], update_step: int) -> None:
        """See Learner; the tensors go into the very parameters that the optimizers hold."""
        load_state(self._modules(), self.optimizers, tensors)
        with torch.no_grad():
            self.log_temperature.copy_(tensors["log_temperature"])
            for name, value in self.weight.state().items():
                value.copy_(tensors[f"weight.{name}"])
        self.update_step = update_step

    def _modules(self) -> dict[str, torch.nn.Module]:
        modules = {
            "policy": self.policy,
            "critic": self.critic,
            "target_critic": self.target_critic,
        }
        return modules | self.average.modules()
