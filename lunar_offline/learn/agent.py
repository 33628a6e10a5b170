"""The CQL-SAC agent: modules, optimizers and one update. SAC is its penalty weight 0."""

import copy
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lunar_offline.learn import losses
from lunar_offline.learn.adam import Adam
from lunar_offline.learn.networks import Values
from lunar_offline.learn.penalties import logsumexp_gap_and_gradient
from lunar_offline.learn.policies import (
    ActionSpec,
    Critic,
    Policy,
    Proposals,
    default_target_entropy,
    make_critic,
    make_policy,
)
from lunar_offline.learn.precision import bf16_products
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
        policy_tau: share of the new policy in each update of the averaged one, which is the policy
            that is judged and saved; 1 is no average.
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
    policy_tau: float = 1.0


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
        bf16: see `bf16_products`.
    """

    def __init__(
        self,
        config: AgentConfig,
        spec: ActionSpec,
        observation_size: int,
        seed: int,
        device: str = "cpu",
        *,
        bf16: bool = False,
    ) -> None:
        rng = generator(seed, Purpose.INITIALISATION)
        self.config, self.spec, self.seed, self.device = config, spec, seed, torch.device(device)
        self.bf16 = bf16
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
        self.averaged_policy = self.policy
        if config.policy_tau < 1.0:
            self.averaged_policy = copy.deepcopy(self.policy).requires_grad_(False)
        self.critic.to(self.device)
        self.target_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.log_temperature = torch.tensor(
            float(np.log(config.initial_temperature)), device=self.device
        )
        self.target_entropy = default_target_entropy(spec, config.entropy_fraction)
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

        The critic loss is `critic_loss + penalty_weight * penalty_gap`, the gap averaged over the
        first `batch.n_penalised` rows and summed over critics (Eq. 17).

        Args:
            batch: see Batch.
            penalty_weight: 0 leaves the penalty out and is plain SAC.

        Returns:
            Detached scalars by metric name; nothing is copied off the device.
        """
        with bf16_products() if self.bf16 else nullcontext():
            return self._update(batch, penalty_weight)

    def _update(self, batch: Batch, penalty_weight: float) -> dict[str, Tensor]:
        b, p = len(batch.rewards), batch.n_penalised if penalty_weight else 0
        noise = self._noise(b, p)
        temperature = self.log_temperature.exp()
        output_1BO, policy_tape = self.policy.net.run(
            torch.cat([batch.observations, batch.next_observations])
        )
        output = output_1BO[0]
        action_set, next_set = self.policy.action_set(output, noise.actions).split(b)
        next_q, _ = self.target_critic.run(batch.next_observations, next_set.actions)
        next_value = losses.soft_value(next_q, next_set, temperature)
        target = losses.td_target(
            batch.rewards, batch.terminations, next_value, self.config.discount
        )
        proposals = None
        if p:
            proposals = self.policy.proposals(
                output[:p], output[b : b + p], noise.uniform, noise.proposals
            )
        values = self.critic.evaluate(
            batch.observations,
            batch.actions,
            proposals.actions if proposals else None,
            action_set.actions,
        )
        metrics, gradient = self._critic_gradient(batch, values, target, proposals, penalty_weight)
        metrics["policy_loss"], g = losses.policy_loss_and_gradient(
            values.q_KBN, action_set, temperature
        )
        g_output = self.policy.output_gradient(
            output[:b],
            noise.actions[:b],
            action_set.actions,
            self.critic.action_gradient(values, g.q_KBN),
            g.log_prob_BN,
            g.weight_BN,
        )
        metrics["entropy"] = losses.entropy(action_set)
        metrics["temperature"] = temperature

        self.optimizers["critic"].step(gradient)
        self.optimizers["policy"].step(
            self.policy.net.backward(policy_tape, g_output.unsqueeze(0), of="parameters")
        )
        self.optimizers["temperature"].step(
            losses.temperature_gradient(metrics["entropy"], self.target_entropy)
        )
        losses.lerp_(self.target_critic.members.flat, self.critic.members.flat, self.config.tau)
        if self.averaged_policy is not self.policy:
            losses.lerp_(
                self.averaged_policy.net.flat, self.policy.net.flat, self.config.policy_tau
            )
        self.update_step += 1
        return metrics

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
        if proposals and values.q_KPM is not None:
            actions, p = proposals.actions, len(proposals.actions)
            metrics["penalty_gap"], g_KPM, g_data = logsumexp_gap_and_gradient(
                values.q_KPM, proposals.log_weight_PM, values.q_KB[:, :p]
            )
            metrics["critic_loss"] = td_loss + penalty_weight * metrics["penalty_gap"]
            g_KB[:, :p] += penalty_weight * g_data
            g_KPM *= penalty_weight
        gradient = self.critic.parameter_gradient(values, batch.actions, actions, g_KB, g_KPM)
        if self.config.max_grad_norm:
            scale = self.config.max_grad_norm / (torch.linalg.vector_norm(gradient) + 1e-6)
            gradient *= scale.clamp(max=1.0)
        return metrics, gradient

    def _noise(self, b: int, p: int) -> "_Noise":
        """Draw the noise of this update, keyed by (seed, update_step)."""
        a, n = self.policy.noise_size, self.config.n_proposals
        if not a:
            nothing = torch.empty(2 * b, 1, 0, device=self.device)
            return _Noise(nothing, nothing, nothing)
        rng = generator(self.seed, Purpose.UPDATE_NOISE, self.update_step)

        def normal(*shape: int) -> Tensor:
            return to_device(rng.standard_normal(shape, dtype=np.float32), self.device)

        return _Noise(
            actions=normal(2 * b, 1, a),
            proposals=normal(p, 2 * n, a),
            uniform=to_device(rng.random((p, n, a), dtype=np.float32), self.device),
        )

    def _modules(self) -> tuple[str, ...]:
        averaged = ("averaged_policy",) if self.averaged_policy is not self.policy else ()
        return ("policy", "critic", "target_critic", *averaged)

    def state_tensors(self) -> dict[str, Tensor]:
        """Return every tensor that the next update depends on, by name; `update_step` apart."""
        tensors: dict[str, Tensor] = {"log_temperature": self.log_temperature.detach()}
        for name in self._modules():
            module: torch.nn.Module = getattr(self, name)
            tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            tensors |= {f"optimizer.{name}.{key}": v for key, v in optimizer.state.items()}
        return tensors

    def load_state_tensors(self, tensors: dict[str, Tensor], update_step: int) -> None:
        """Put `state_tensors()` back, into the very parameters that the optimizers hold.

        Raises:
            KeyError or RuntimeError: a tensor is missing or has another shape.
        """
        with torch.no_grad():
            self.log_temperature.copy_(tensors["log_temperature"])
        for name in self._modules():
            module: torch.nn.Module = getattr(self, name)
            module.load_state_dict({key: tensors[f"{name}.{key}"] for key in module.state_dict()})
        with torch.no_grad():
            for name, optimizer in self.optimizers.items():
                for key, value in optimizer.state.items():
                    value.copy_(tensors[f"optimizer.{name}.{key}"])
        self.update_step = update_step


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device; the host does not wait for a GPU to have it."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class _Noise(NamedTuple):
    actions: Tensor
    proposals: Tensor
    uniform: Tensor
