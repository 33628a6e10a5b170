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
        log_prob_B, g_BO = self.policy.log_prob_and_gradient(output_1BO[0], batch.actions[:n])
        self.optimizers["policy"].step(
            self.policy.net.backward(tape, g_BO.unsqueeze(0) / -n, of="parameters")
        )
        self.average.step()
        self.update_step += 1
        return {"policy_loss": -log_prob_B.mean()}

    def state_tensors(self) -> dict[str, Tensor]:
        """See Learner."""
        return named_state(self._modules(), self.optimizers)

    def load_state_tensors(self, tensors: dict[str, Tensor], update_step: int) -> None:
        """See Learner."""
        load_state(self._modules(), self.optimizers, tensors)
        self.update_step = update_step

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"policy": self.policy, **self.average.modules()}
