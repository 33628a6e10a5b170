"""Behavior cloning: maximum likelihood of the dataset's actions, without critics."""

from __future__ import annotations

from dataclasses import dataclass

from lunar_offline.agents.lazy_imports import policies, torch
from lunar_offline.agents.learner import Algorithm, Batch, Learner
from lunar_offline.agents.learner_config import LearnerConfig
from lunar_offline.errors import UsageError
from lunar_offline.options import RunKind
from lunar_offline.seeding import Purpose, generator

METRICS = {"policy_loss": "-log pi of the dataset's actions, mean over offline rows"}


def cloning_loss_and_gradient(
    policy: policies.Policy, output_BO: torch.Tensor, actions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean_b of -log pi(a | s) and its gradient with respect to `output_BO`, [B, O]."""
    log_prob_B, gradient_BO = policy.log_prob_and_gradient(output_BO, actions)
    return -log_prob_B.mean(), gradient_BO / -len(output_BO)


@dataclass(frozen=True)
class BCConfig(LearnerConfig):
    """Hyperparameters of behavior cloning."""

    def check(self, run: RunKind) -> None:
        """See LearnerConfig."""
        super().check(run)
        if run.online:
            raise UsageError("algorithm bc learns from a dataset: --rho must be above 0")


class BehaviorCloning(Learner[BCConfig]):
    """Minimizes -log pi(a_data | s) over the offline rows of a batch; see Learner."""

    def build(self) -> None:
        """See Learner."""
        rng = generator(self.seed, Purpose.INITIALIZATION)
        self.policy = self.trained(
            "policy",
            policies.make_policy(self.spec, self.observation_size, self.config.hidden, rng),
        )

    def _update(self, batch: Batch, online_episode: int | None) -> dict[str, torch.Tensor]:
        n = batch.n_offline
        if not n:  # a batch from a buffer of both may have none
            return {}
        output_1BO, tape = self.policy.net.run(batch.observations[:n])
        loss, g_BO = cloning_loss_and_gradient(self.policy, output_1BO[0], batch.actions[:n])
        self.optimizers["policy"].step(
            self.policy.net.backward(tape, g_BO.unsqueeze(0), of="parameters")
        )
        return {"policy_loss": loss}


ALGORITHM = Algorithm(
    "bc", "Behavior cloning of the dataset's actions.", BCConfig, BehaviorCloning, METRICS
)
