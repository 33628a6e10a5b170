"""CQL-SAC: SAC with a conservative penalty on its critics (Kumar et al. 2020; the paper's Eq. 17).

The critics' loss is `td_loss + penalty_weight * penalty_gap`. The penalty gap is averaged over the
penalized rows and summed over critics.
"""

from __future__ import annotations

from dataclasses import dataclass

from lunar_offline.agents.algorithms.bc import cloning_loss_and_gradient
from lunar_offline.agents.algorithms.sac import METRICS as SAC_METRICS
from lunar_offline.agents.algorithms.sac import SAC, SACConfig, Step
from lunar_offline.agents.lazy_imports import action_sets, critics, losses, noise, penalties, torch
from lunar_offline.agents.learner import Algorithm
from lunar_offline.agents.penalty_options import METRICS as PENALTY_METRICS
from lunar_offline.agents.penalty_options import ConservativeConfig
from lunar_offline.errors import UsageError
from lunar_offline.options import RunKind, option

METRICS = (
    SAC_METRICS
    | PENALTY_METRICS
    | {
        "forward_kl": "temperature times KL(softmax(Q / temperature), policy) over offline rows, "
        "added to the policy's loss",
        "cloning_loss": "-log pi of the dataset's actions, mean over offline rows; added to the "
        "policy's loss with its weight",
    }
)


@dataclass(frozen=True)
class CQLSACConfig(SACConfig, ConservativeConfig):
    """Hyperparameters of CQL-SAC."""

    n_proposals: int = option(
        10,
        "Continuous actions: samples from each of the penalty's three proposal distributions.",
        at_least=1,
        at_most=1024,
        best=2,
    )
    quasi_random: bool = option(
        False, "Continuous actions: draw the penalty's samples from randomly shifted lattices."
    )
    calibrated: bool = option(
        False, "Do not penalize values below the dataset's returns (Cal-QL, Nakamoto et al. 2023)."
    )
    forward_kl: bool = option(
        False,
        "Discrete actions: add the forward KL over offline rows to the policy's loss, in offline "
        "updates.",
        # the penalty spreads values so far that some seeds are certain of wrong actions and crash
        best=lambda run: run.discrete and not run.online,
    )
    online_forward_kl: bool = option(
        False,
        "Discrete actions: add the forward KL over offline rows to the policy's loss, during "
        "online training.",
        only="online",
    )
    cloning_weight: float = option(
        0.0,
        "Weight of -log pi(a | s) over offline rows in the policy's loss, in offline updates "
        "(TD3+BC, Fujimoto and Gu 2021).",
        at_least=0.0,
        # without it, a continuous policy at rho 1 drifts from the data; at a lower rho it recovers
        best=lambda run: 5.0 if run.offline and not run.discrete else 0.0,
    )
    online_cloning_weight: float = option(
        0.0,
        "Weight of -log pi(a | s) over offline rows in the policy's loss, during online training.",
        at_least=0.0,
        only="online",
    )

    @property
    def needs_returns(self) -> bool:
        """See LearnerConfig."""
        return self.calibrated

    def check(self, run: RunKind) -> None:
        """See LearnerConfig."""
        super().check(run)
        if self.calibrated and (run.rho_mode == "buffer" or self.penalty == "eq1"):
            raise UsageError("agent.calibrated needs rho_mode batch and a penalty with a data term")
        if (self.forward_kl or self.online_forward_kl) and not run.discrete:
            raise UsageError("agent.forward_kl sums over all actions: it needs discrete actions")


class CQLSAC(SAC[CQLSACConfig]):
    """SAC with a penalty, and optionally forward KL and cloning; see Learner."""

    def build(self) -> None:
        """See Learner."""
        super().build()
        config = self.config
        self.penalty, self.weight = config.make_penalty(), config.make_weight(self.device)
        self.n_proposals, self.quasi_random = config.n_proposals, config.quasi_random

    def _penalized_rows(self, step: Step) -> int:
        return self.config.rows_at(step.batch, step.online_episode)

    def _proposals(
        self, here: torch.Tensor, there: torch.Tensor, drawn: noise.Noise
    ) -> action_sets.Proposals:
        assert self.penalty is not None
        if self.penalty.measure == "policy":
            return self.policy.action_set(here, drawn.proposals).proposals()
        return self.policy.proposals(here, there, drawn.uniform, drawn.proposals)

    def _penalize(
        self,
        step: Step,
        values: critics.Values,
        proposals: action_sets.Proposals,
        g_KB: torch.Tensor,
    ) -> torch.Tensor:
        assert self.penalty is not None
        assert values.q_KPM is not None
        q_KPM, inside, p = values.q_KPM, None, len(proposals.actions)
        if self.config.calibrated and step.batch.returns is not None:
            floor_P = penalties.floor_of(step.batch.returns, p)
            q_KPM, inside = penalties.calibrate(q_KPM, floor_P, proposals.first_of_policy)
        gap, g_KPM, g_data = self.penalty(q_KPM, proposals.log_weight_PM, values.q_KB[:, :p])
        weight = self.weight(self.config.weight_at(step.online_episode))
        step.metrics["penalty_gap"] = gap
        step.metrics["critic_loss"] = step.metrics["td_loss"] + weight * gap
        if g_data:
            g_KB[:, :p] += weight * g_data
        g_KPM *= weight if inside is None else weight * inside
        if self.config.lagrange:
            step.metrics["penalty_weight"] = torch.as_tensor(weight)
            self.weight.observe(gap / len(values.q_KB))
        return g_KPM

    def _add_to_set_gradient(
        self,
        step: Step,
        q_KBN: torch.Tensor,
        action_set: action_sets.ActionSet,
        g_log_prob_BN: torch.Tensor,
    ) -> None:
        config, n, offline = self.config, step.batch.n_offline, step.online_episode is None
        if n and (config.forward_kl if offline else config.online_forward_kl):
            step.metrics["forward_kl"], more = losses.forward_kl_and_gradient(
                q_KBN[:, :n], action_set.split(n)[0], step.temperature
            )
            g_log_prob_BN[:n] += more

    def _add_to_output_gradient(
        self, step: Step, output: torch.Tensor, g_output: torch.Tensor
    ) -> None:
        config, n, offline = self.config, step.batch.n_offline, step.online_episode is None
        weight = config.cloning_weight if offline else config.online_cloning_weight
        if n and weight:
            step.metrics["cloning_loss"], more = cloning_loss_and_gradient(
                self.policy, output[:n], step.batch.actions[:n]
            )
            g_output[:n] += weight * more

    def scalars(self) -> dict[str, torch.Tensor]:
        """See Learner."""
        learned = {f"weight.{name}": value for name, value in self.weight.state().items()}
        return super().scalars() | learned


ALGORITHM = Algorithm(
    "cql-sac",
    "SAC with a conservative penalty on its critics (the default).",
    CQLSACConfig,
    CQLSAC,
    METRICS,
)
