"""The CQL-SAC agent: modules, optimizers and one update. SAC is its penalty weight 0."""

import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lunar_offline.learn import losses
from lunar_offline.learn.penalties import logsumexp_gap
from lunar_offline.learn.policies import (
    ActionSpec,
    Critic,
    Policy,
    default_target_entropy,
    make_critic,
    make_policy,
)
from lunar_offline.seeding import Purpose, generator


@dataclass(frozen=True)
class AgentConfig:
    """Hyperparameters of the update. Presets stand in `experiment.config`.

    Attributes:
        hidden: widths of the hidden layers, of policy and critics alike.
        layer_norm: LayerNorm in the critics.
        n_critics: size of the ensemble; the minimum over it is used everywhere.
        learning_rate: Adam's, for policy, critics and temperature.
        discount: of the return, per env step.
        tau: share of the new parameters in each target update.
        initial_temperature: of the entropy bonus.
        entropy_fraction: discrete target entropy as a fraction of ln(actions).
        n_proposals: continuous: samples per proposal distribution of the penalty (three of them).
        max_grad_norm: clip of the critics' gradient norm; 0 is off.
    """

    hidden: tuple[int, ...] = (256, 256)
    layer_norm: bool = True
    n_critics: int = 2
    learning_rate: float = 3e-4
    discount: float = 0.99
    tau: float = 0.005
    initial_temperature: float = 1.0
    entropy_fraction: float = 0.3
    n_proposals: int = 10
    max_grad_norm: float = 0.0


class Batch(NamedTuple):
    """Tensors of one batch; the first `n_penalised` rows take part in the CQL penalty.

    Attributes:
        observations: float32 [B, D].
        actions: int64 [B] or float32 [B, A].
        rewards: float32 [B].
        next_observations: float32 [B, D].
        terminations: bool [B].
        n_penalised: 0 .. B.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    next_observations: Tensor
    terminations: Tensor
    n_penalised: int


class Agent:
    """Policy, critics, target critics, temperature and their optimizers.

    Args:
        config: hyperparameters.
        spec: the action space.
        observation_size: D.
        seed: of the initialisation and of the noise of every update.
        device: where the tensors live.
    """

    def __init__(
        self,
        config: AgentConfig,
        spec: ActionSpec,
        observation_size: int,
        seed: int,
        device: str = "cpu",
    ) -> None:
        rng = generator(seed, Purpose.INITIALISATION)
        self.config, self.spec, self.seed, self.device = config, spec, seed, torch.device(device)
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
        self.critic.to(self.device)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_temperature = torch.tensor(
            float(np.log(config.initial_temperature)), device=self.device, requires_grad=True
        )
        self.target_entropy = default_target_entropy(spec, config.entropy_fraction)
        self.parameters = {
            "policy": self.policy.net.flat,
            "critic": self.critic.members.flat,
            "temperature": self.log_temperature,
        }
        self.optimizers = {
            name: torch.optim.Adam([parameter], lr=config.learning_rate, fused=True)
            for name, parameter in self.parameters.items()
        }
        self.update_step = 0

    def update(self, batch: Batch, penalty_weight: float) -> dict[str, Tensor]:
        """Take one step on critics, policy, temperature and targets, in this order.

        The critic loss is `critic_loss + penalty_weight * penalty_gap`, the gap averaged over the
        first `batch.n_penalised` rows and summed over critics (Eq. 17).

        Args:
            batch: see Batch.
            penalty_weight: 0 leaves the penalty out and is plain SAC.

        Returns:
            Detached scalars by metric name; nothing is copied off the device.
        """
        noise = self._noise(len(batch.rewards), batch.n_penalised if penalty_weight else 0)
        temperature = self.log_temperature.detach().exp()
        b = len(batch.rewards)
        both = self.policy(torch.cat([batch.observations, batch.next_observations]))
        here, there = both[:b], both[b:]
        with torch.no_grad():
            next_set = self.policy.action_set(there.detach(), noise.next)
            next_q = self.target_critic(batch.next_observations, next_set.actions)
            next_value = losses.soft_value(next_q, next_set, temperature)
            target = losses.td_target(
                batch.rewards, batch.terminations, next_value, self.config.discount
            )
        metrics = self._update_critic(batch, target, here.detach(), there.detach(), noise)
        if penalty_weight:
            metrics["critic_loss"] = metrics["td_loss"] + penalty_weight * metrics["penalty_gap"]
        else:
            metrics["critic_loss"] = metrics["td_loss"]
        self._step("critic", metrics["critic_loss"])

        action_set = self.policy.action_set(here, noise.here)
        q = self.critic(batch.observations, action_set.actions, frozen=True)
        metrics["policy_loss"] = losses.policy_loss(q, action_set, temperature)
        self._step("policy", metrics["policy_loss"])

        metrics["entropy"] = losses.entropy(action_set)
        temperature_loss = losses.temperature_loss(
            self.log_temperature, metrics["entropy"], self.target_entropy
        )
        self._step("temperature", temperature_loss)
        metrics["temperature"] = temperature
        losses.lerp_(self.target_critic.members.flat, self.critic.members.flat, self.config.tau)
        self.update_step += 1
        return {name: value.detach() for name, value in metrics.items()}

    def _update_critic(
        self, batch: Batch, target: Tensor, here: Tensor, there: Tensor, noise: "_Noise"
    ) -> dict[str, Tensor]:
        p = len(noise.uniform)
        with torch.no_grad():
            proposals = self.policy.proposals(here[:p], there[:p], noise.uniform, noise.proposals)
        q_KB, q_KPM = self.critic.with_proposals(
            batch.observations, batch.actions, proposals.actions
        )
        metrics = {"td_loss": losses.critic_loss(q_KB, target), "q_mean": q_KB.mean()}
        if p:
            gap_KP = logsumexp_gap(q_KPM, proposals.log_weight_PM, q_KB[:, :p])
            metrics["penalty_gap"] = gap_KP.mean(1).sum()
        return metrics

    def _step(self, name: str, loss: Tensor) -> None:
        parameter = self.parameters[name]
        (gradient,) = torch.autograd.grad(loss, [parameter])
        if name == "critic" and self.config.max_grad_norm:
            scale = self.config.max_grad_norm / (torch.linalg.vector_norm(gradient) + 1e-6)
            gradient = gradient * scale.clamp(max=1.0)
        parameter.grad = gradient
        self.optimizers[name].step()

    def _noise(self, b: int, p: int) -> "_Noise":
        """Draw the noise of this update, keyed by (seed, update_step)."""
        a, n = self.policy.noise_size, self.config.n_proposals
        rng = generator(self.seed, Purpose.UPDATE_NOISE, self.update_step)

        def normal(*shape: int) -> Tensor:
            return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(self.device)

        return _Noise(
            here=normal(b, 1, a),
            next=normal(b, 1, a),
            proposals=normal(p, 2 * n, a),
            uniform=torch.from_numpy(rng.random((p, n, a), dtype=np.float32)).to(self.device),
        )

    def state_tensors(self) -> dict[str, Tensor]:
        """Return every tensor that the next update depends on, by name; `update_step` apart."""
        tensors: dict[str, Tensor] = {"log_temperature": self.log_temperature.detach()}
        for name in ("policy", "critic", "target_critic"):
            module: torch.nn.Module = getattr(self, name)
            tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{name}.{index}.{k}": v for k, v in state.items()}
        return tensors

    def load_state_tensors(self, tensors: dict[str, Tensor], update_step: int) -> None:
        """Put `state_tensors()` back, into the very parameters that the optimizers hold.

        Raises:
            KeyError or RuntimeError: a tensor is missing or has another shape.
        """
        with torch.no_grad():
            self.log_temperature.copy_(tensors["log_temperature"])
        for name in ("policy", "critic", "target_critic"):
            module: torch.nn.Module = getattr(self, name)
            module.load_state_dict({key: tensors[f"{name}.{key}"] for key in module.state_dict()})
        for name, optimizer in self.optimizers.items():
            prefix = f"optimizer.{name}."
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in tensors.items():
                if key.startswith(prefix):
                    index, field = key[len(prefix) :].split(".")
                    state.setdefault(int(index), {})[field] = value
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        self.update_step = update_step


class _Noise(NamedTuple):
    here: Tensor
    next: Tensor
    proposals: Tensor
    uniform: Tensor
