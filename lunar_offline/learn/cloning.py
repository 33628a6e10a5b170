"""Behavior cloning: the policy alone, by maximum likelihood of the dataset's actions."""

import torch
from torch import Tensor

from lunar_offline.learn.adam import Adam
from lunar_offline.learn.learner import (
    AgentConfig,
    Batch,
    PolicyAverage,
    load_state,
    named_state,
)
from lunar_offline.learn.policies import ActionSpec, Policy, make_policy
from lunar_offline.seeding import Purpose, generator


def cloning_loss_and_gradient(
    policy: Policy, output_BO: Tensor, actions: Tensor
) -> tuple[Tensor, Tensor]:
    """Return mean_b of -log pi(a | s), and its gradient in the policy's outputs [B, O]."""
    log_prob_B, gradient_BO = policy.log_prob_and_gradient(output_BO, actions)
    return -log_prob_B.mean(), gradient_BO / -len(output_BO)


class BehaviorCloning:
    """Minimises -log pi(a_data | s) over the batch's dataset rows; see Learner.

    Args:
        config: hyperparameters; those of critics are not used.
        spec: the action space.
        observation_size: D.
        seed: of the initialisation.
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
        self.config, self.device = config, torch.device(device)
        self.policy: Policy = make_policy(spec, observation_size, config.hidden, rng)
        self.policy.to(self.device)
        self.average = PolicyAverage(self.policy, config.policy_tau)
        self.optimizers = {"policy": Adam(self.policy.net.flat, config.learning_rate)}
        self.update_step = 0

    @torch.inference_mode()
    def update(self, batch: Batch, penalty_weight: float) -> dict[str, Tensor]:
        """Take one step on the first `batch.n_penalised` rows; the weight is not used."""
        n = batch.n_penalised
        output_1BO, tape = self.policy.net.run(batch.observations[:n])
        loss, g_BO = cloning_loss_and_gradient(self.policy, output_1BO[0], batch.actions[:n])
        self.optimizers["policy"].step(
            self.policy.net.backward(tape, g_BO.unsqueeze(0), of="parameters")
        )
        self.average.step()
        self.update_step += 1
        return {"policy_loss": loss}

    def state_tensors(self) -> dict[str, Tensor]:
        """See Learner."""
        return named_state(self._modules(), self.optimizers)

    def load_state_tensors(self, tensors: dict[str, Tensor], update_step: int) -> None:
        """See Learner."""
        load_state(self._modules(), self.optimizers, tensors)
        self.update_step = update_step

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"policy": self.policy, **self.average.modules()}
