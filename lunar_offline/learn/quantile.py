"""CQL's Q-learning variant on quantile critics (QR-DQN), for discrete actions."""

import copy

import torch
from torch import Tensor

from lunar_offline.learn import losses
from lunar_offline.learn.adam import Adam
from lunar_offline.learn.learner import (
    AgentConfig,
    Batch,
    PolicyAverage,
    load_state,
    make_weight,
    named_state,
)
from lunar_offline.learn.networks import Ensemble, Layout, Tape
from lunar_offline.learn.penalties import Penalty
from lunar_offline.learn.policies import ActionSpec, CategoricalPolicy
from lunar_offline.seeding import Purpose, generator

QUANTILES = 32


class QuantileAgent:
    """One critic whose outputs are quantiles of the return of each action; see Learner.

    Targets follow the greedy action of the target critic. The penalty is on the mean over
    quantiles (Kumar et al. 2020, section 6, there on Atari). There is no entropy bonus; it explores
    with softmax(Q / initial_temperature).

    Args:
        config: hyperparameters; `layer_norm` must be False, since the policy is the critic with
            its last layer averaged, and policies have none.
        spec: the action space.
        observation_size: D.
        seed: of the initialisation.
        device: where the tensors live.
        penalty: of measure `actions`; None is QR-DQN.

    Raises:
        ValueError: the actions are continuous, or the config has a LayerNorm.
    """

    greedy = True

    def __init__(
        self,
        config: AgentConfig,
        spec: ActionSpec,
        observation_size: int,
        seed: int,
        device: str = "cpu",
        *,
        penalty: Penalty | None,
    ) -> None:
        if not spec.discrete or config.layer_norm:
            raise ValueError("quantile critics: discrete actions and no LayerNorm")
        rng = generator(seed, Purpose.INITIALISATION)
        self.config, self.device, self.penalty = config, torch.device(device), penalty
        self.n_actions = spec.size
        layout = Layout(1, observation_size, config.hidden, spec.size * QUANTILES, False)
        self.critic = Ensemble(layout, rng).to(self.device)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.policy = CategoricalPolicy(observation_size, spec.size, config.hidden, rng)
        self.policy.to(self.device).requires_grad_(False)
        self.average = PolicyAverage(self.policy, config.policy_tau)
        self.weight = make_weight(config, self.device)
        self.optimizers = {"critic": Adam(self.critic.flat, config.learning_rate)}
        self.update_step = 0
        self._set_policy()

    @torch.inference_mode()
    def update(self, batch: Batch, penalty_weight: float) -> dict[str, Tensor]:
        """Take one step on the critic and its target; see Learner."""
        b, p = len(batch.rewards), batch.n_penalised if self.penalty and penalty_weight else 0
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
            weight = self.weight(penalty_weight)
            g_BAQ[:p] += (weight * g_PA / QUANTILES).unsqueeze(2)
            metrics["penalty_gap"] = gap
            metrics["critic_loss"] = td_loss + weight * gap
            metrics["action_gap"] = (q_1P - q_1PA.max(2).values).mean()
            self.weight.observe(gap)
        gradient = self.critic.backward(tape, g_BAQ.view(1, b, -1), of="parameters")
        if self.config.max_grad_norm:
            losses.clip_(gradient, self.config.max_grad_norm)
        self.optimizers["critic"].step(gradient)
        losses.lerp_(self.target_critic.flat, self.critic.flat, self.config.tau)
        self._set_policy()
        self.average.step()
        self.update_step += 1
        return metrics

    def _quantiles(self, critic: Ensemble, observations_BD: Tensor) -> tuple[Tensor, Tape]:
        z_1BO, tape = critic.run(observations_BD)
        return z_1BO.view(-1, self.n_actions, QUANTILES), tape

    @torch.no_grad()
    def _set_policy(self) -> None:
        """Make the policy's logits the mean over quantiles, by the temperature."""
        (critic,) = self.critic.layout.views(self.critic.flat)
        (policy,) = self.policy.net.layout.views(self.policy.net.flat)
        for mine, its in zip(policy[:-1], critic[:-1], strict=True):
            mine["weight"].copy_(its["weight"])
            mine["bias"].copy_(its["bias"])
        t, a = self.config.initial_temperature, self.n_actions
        policy[-1]["weight"].copy_(critic[-1]["weight"].view(a, QUANTILES, -1).mean(1) / t)
        policy[-1]["bias"].copy_(critic[-1]["bias"].view(a, QUANTILES).mean(1) / t)

    @torch.no_grad()
    def values(self, observations_BD: Tensor) -> Tensor:
        """See ValueLearner: max_a Q."""
        z_BAQ, _ = self._quantiles(self.critic, observations_BD)
        return z_BAQ.mean(2).max(1).values

    @torch.no_grad()
    def entropy_bonus(self, observations_BD: Tensor, actions: Tensor) -> Tensor:
        """See ValueLearner: nothing."""
        return torch.zeros(len(observations_BD))

    def state_tensors(self) -> dict[str, Tensor]:
        """See Learner."""
        state = {f"weight.{name}": value for name, value in self.weight.state().items()}
        return named_state(self._modules(), self.optimizers) | state

    def load_state_tensors(self, tensors: dict[str, Tensor], update_step: int) -> None:
        """See Learner."""
        load_state(self._modules(), self.optimizers, tensors)
        for name, value in self.weight.state().items():
            value.copy_(tensors[f"weight.{name}"])
        self._set_policy()
        self.update_step = update_step

    def _modules(self) -> dict[str, torch.nn.Module]:
        modules: dict[str, torch.nn.Module] = {
            "critic": self.critic,
            "target_critic": self.target_critic,
        }
        return modules | self.average.modules()
