"""The options and schedule of the conservative penalty, shared by the CQL algorithms."""

from __future__ import annotations

from dataclasses import dataclass

from lunar_offline.agents.lazy_imports import penalties, torch
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.learner_config import ValueConfig
from lunar_offline.options import option

PENALTIES = ("cql-h", "cql-rho", "eq1", "none")
PENALIZED_ROWS = ("offline", "all")

METRICS = {
    "penalty_gap": "the penalty: mean over penalized rows, summed over critics (Eq. 17)",
    "penalty_weight": "the learned weight, with `lagrange`",
    "action_gap": "mean Q of the dataset's actions minus that of the policy's, penalized rows",
}


@dataclass(frozen=True)
class ConservativeConfig(ValueConfig):
    """Hyperparameters of the CQL penalty."""

    penalty: str = option(
        "cql-h",
        "Penalty on the critics: cql-h, cql-rho, eq1 (Eq. 14, without a data term) or none.",
        choices=PENALTIES,
        swept=True,
        best=lambda run: "none" if run.online else "cql-h",
        paper=lambda run: "none" if run.online else "cql-h",
    )
    penalty_weight: float = option(
        1.0,
        "Weight of the penalty in offline updates.",
        at_least=0.0,
        void_if=("penalty", "none"),
        main=True,
        best=5.0,
        paper=1.0,
    )
    online_penalty_weight: float = option(
        0.1,
        "Weight of the penalty during online training.",
        at_least=0.0,
        void_if=("penalty", "none"),
        main=True,
        only="online",
        # with many updates per env step, a penalty during online training only slows the policy
        best=0.0,
        paper=1.0,
    )
    anneal_episodes: int = option(
        0,
        "Online episodes over which the online weight falls linearly to 0; 0 keeps it constant.",
        at_least=0,
        at_most=10**12,
        unit="episodes",
    )
    penalized_rows: str = option(
        "offline",
        "Rows of a batch that the penalty covers: offline or all.",
        choices=PENALIZED_ROWS,
        main=True,
        paper="all",
    )
    penalty_temperature: float = option(
        1.0, "Temperature T of the penalty's T logsumexp(Q / T).", above=0.0
    )
    lagrange: bool = option(False, "Learn the penalty's weight by dual ascent on the gap.")
    lagrange_threshold: float = option(
        1.0,
        "Learn the penalty's weight so that the gap of each critic stays at this value.",
        main=True,
        implies=("lagrange", True),
    )

    def weight_at(self, online_episode: int | None) -> float:
        """Return the penalty's weight in an online episode, or for None in offline updates."""
        if self.penalty == "none":
            return 0.0
        if online_episode is None:
            return self.penalty_weight
        if not self.anneal_episodes:
            return self.online_penalty_weight
        return self.online_penalty_weight * max(0.0, 1.0 - online_episode / self.anneal_episodes)

    def rows_at(self, batch: Batch, online_episode: int | None) -> int:
        """Return the number of leading rows of a batch that the penalty covers."""
        if not self.weight_at(online_episode):
            return 0
        return len(batch.rewards) if self.penalized_rows == "all" else batch.n_offline

    def make_penalty(self) -> penalties.Penalty | None:
        """Return the penalty, or None for `none`."""
        return penalties.make_penalty(self.penalty, self.penalty_temperature)

    def make_weight(self, device: torch.device) -> penalties.Weight:
        """Return the factor of the penalty: learned with `lagrange`, else fixed."""
        if self.lagrange:
            return penalties.LagrangeWeight(self.lagrange_threshold, self.learning_rate, device)
        return penalties.FixedWeight()
