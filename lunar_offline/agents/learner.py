"""The parts that all algorithms share: config, batch and the base class of learners."""

from __future__ import annotations

import copy
import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from lunar_offline.agents.lazy_imports import losses, optimizer, policies, precision, state, torch
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.options import RunKind, option

MAX_LAYERS, MAX_WIDTH, MAX_WEIGHTS = 8, 4096, 1 << 24


def check_hidden(hidden: Any) -> None:
    """Raise ValueError unless these are plausible widths of hidden layers.

    The limit of 16 million weights bounds the memory that a file from an unknown source can use.
    """
    if not (
        isinstance(hidden, list | tuple)
        and 1 <= len(hidden) <= MAX_LAYERS
        and all(type(width) is int and 1 <= width <= MAX_WIDTH for width in hidden)
        and sum(a * b for a, b in itertools.pairwise(hidden)) <= MAX_WEIGHTS
    ):
        raise ValueError(
            f"is not a list of 1 .. {MAX_LAYERS} integers in 1 .. {MAX_WIDTH}, with at most "
            "16 million weights"
        )


@dataclass(frozen=True)
class LearnerConfig:
    """Hyperparameters that every algorithm has. Each algorithm extends them in its own file."""

    hidden: tuple[int, ...] = option(
        (256, 256),
        "Widths of the hidden layers of policy and critics.",
        check=check_hidden,
        best=(128, 128),
    )
    learning_rate: float = option(
        3e-4,
        "Learning rate of Adam, for policy, critics and temperature.",
        at_least=0.0,
        best=lambda run: 1e-3 if run.discrete else 7e-4,
        paper=5e-4,
    )
    policy_tau: float = option(
        1.0,
        "Weight of the new parameters in each update of the policy's Polyak average, which is the "
        "policy that is evaluated and saved; 1 disables averaging.",
        above=0.0,
        at_most=1.0,
        # averaging reduces the noise of individual policies
        best=lambda run: 1.0 if run.online else 0.001,
    )

    @property
    def needs_returns(self) -> bool:
        """Whether batches must hold the discounted returns of the dataset."""
        return False

    def check(self, run: RunKind) -> None:
        """Raise UsageError if options conflict with each other or with the kind of run."""


@dataclass(frozen=True)
class ValueConfig(LearnerConfig):
    """Hyperparameters of algorithms with critics."""

    discount: float = option(
        0.99,
        "Discount factor of the return, per env step.",
        at_least=0.0,
        at_most=1.0,
        # values must propagate back over 250 steps from the landing
        best=lambda run: 0.99 if run.online else 0.995,
    )
    tau: float = option(
        0.005,
        "Weight of the new parameters in each Polyak update of the target critics.",
        above=0.0,
        at_most=1.0,
        best=0.01,
        paper=0.01,
    )
    max_grad_norm: float = option(
        0.0,
        "Maximum norm of the critics' gradient; 0 disables clipping.",
        at_least=0.0,
        paper=1.0,
    )


class Batch(NamedTuple):
    """The tensors of one batch; the first `n_offline` rows come from the dataset.

    Each loss decides which rows it uses.

    Attributes:
        observations: float32 [B, D].
        actions: int64 [B] or float32 [B, A].
        rewards: float32 [B].
        next_observations: float32 [B, D].
        terminations: bool [B].
        n_offline: 0 .. B.
        returns: float32 [n_offline], the dataset's discounted returns from those rows, -inf where
            unknown; None unless `LearnerConfig.needs_returns`.
    """

    observations: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    next_observations: torch.Tensor
    terminations: torch.Tensor
    n_offline: int
    returns: torch.Tensor | None = None


class PolicyAverage:
    """An exponential average of a policy's parameters (Polyak and Juditsky 1992), without bias.

    After n updates, the policy of update i has the weight (1 - tau)^(n - i), divided by the sum of
    these weights, as Adam corrects its moments (Kingma and Ba 2015, section 3). The initial
    parameters have no weight; without the division they would keep (1 - tau)^n, which is 67% after
    400 updates at tau 0.001.

    Args:
        policy: the policy to average.
        tau: share of the new parameters in each update in the long run; 1 is no average.

    Attributes:
        policy: the average; with tau 1, the given policy itself.
    """

    def __init__(self, policy: policies.Policy, tau: float) -> None:
        self._source, self._tau = policy, tau
        self.policy: policies.Policy = policy
        if tau < 1.0:
            self.policy = copy.deepcopy(policy).requires_grad_(False)

    def step(self, updates: int) -> None:
        """Include the policy after `updates` updates, 1 for the first."""
        if self.policy is not self._source:
            share = self._tau / (1.0 - (1.0 - self._tau) ** updates)
            losses.lerp_(self.policy.net.flat, self._source.net.flat, share)

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the modules that a checkpoint must hold in addition to the policy."""
        return {"averaged_policy": self.policy} if self.policy is not self._source else {}


ConfigT = TypeVar("ConfigT", bound=LearnerConfig)


class Learner(ABC, Generic[ConfigT]):
    """An algorithm as the training loop uses it: networks, optimizers and one update.

    A subclass builds its networks in `build`, returns them in `modules`, returns further tensors of
    a checkpoint in `scalars`, and takes its optimizer steps in `_update`.

    Args:
        config: hyperparameters.
        spec: the action space.
        observation_size: D.
        seed: seed of the initialization and of the noise of every update.
        device: where the tensors are stored.
        bf16: see `precision.bf16_products`.

    Attributes:
        uses_bf16: whether its updates may round to bfloat16.
        policy: the policy that acts during training.
        average: holds the policy that is evaluated and saved.
        optimizers: by the name of the parameters that they step.
        update_step: number of updates taken.
        device: where batches must be stored.
    """

    uses_bf16 = False
    policy: policies.Policy
    average: PolicyAverage

    def __init__(
        self,
        config: ConfigT,
        spec: ActionSpec,
        observation_size: int,
        seed: int,
        device: str = "cpu",
        *,
        bf16: bool = False,
    ) -> None:
        self.config, self.spec, self.seed = config, spec, seed
        self.observation_size = observation_size
        self.device, self.bf16 = torch.device(device), bf16 and self.uses_bf16
        self.optimizers: dict[str, optimizer.Adam] = {}
        self.update_step = 0
        self.build()

    @abstractmethod
    def build(self) -> None:
        """Build policy, average, networks and optimizers from `config`, `spec` and `seed`."""

    def update(self, batch: Batch, online_episode: int | None = None) -> dict[str, torch.Tensor]:
        """Take one update step.

        Args:
            batch: see Batch.
            online_episode: index of the current online episode, from 0; None in an offline update,
                before the first online episode or in a run at rho 1.

        Returns:
            Detached scalars by metric name; they stay on the device.
        """
        # inference mode skips the bookkeeping of views and versions: 6% of a small update
        with torch.inference_mode(), precision.bf16_products() if self.bf16 else nullcontext():
            metrics = self._update(batch, online_episode)
            self.update_step += 1
            self.average.step(self.update_step)
        return metrics

    @abstractmethod
    def _update(self, batch: Batch, online_episode: int | None) -> dict[str, torch.Tensor]:
        """Step every optimizer and target; return the metrics."""

    @abstractmethod
    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the networks that the next update depends on, by name, without the average."""

    def scalars(self) -> dict[str, torch.Tensor]:
        """Return the other tensors that the next update depends on, by name."""
        return {}

    def state_tensors(self) -> dict[str, torch.Tensor]:
        """Return every tensor that the next update depends on, by name, without `update_step`."""
        modules = self.modules() | self.average.modules()
        return state.named_state(modules, self.optimizers) | self.scalars()

    def load_state_tensors(self, tensors: Mapping[str, torch.Tensor], update_step: int) -> None:
        """Load the result of `state_tensors()` in place, so that optimizers keep their parameters.

        Raises:
            KeyError: a tensor is missing.
            RuntimeError: a tensor has another shape.
        """
        state.load_state(self.modules() | self.average.modules(), self.optimizers, tensors)
        with torch.no_grad():
            for name, value in self.scalars().items():
                value.copy_(tensors[name])
        self.update_step = update_step


class ValueLearner(Learner[ConfigT]):
    """A learner with critics.

    Attributes:
        greedy: whether the critics evaluate the greedy policy instead of the policy that acts
            during training.
    """

    greedy = False

    @abstractmethod
    def values(self, observations_BD: torch.Tensor) -> torch.Tensor:
        """Return the critics' soft values of B states under the policy, [B]."""

    @abstractmethod
    def entropy_bonus(self, observations_BD: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Return the entropy bonus that the soft value adds to each action's reward, [B]."""


@dataclass(frozen=True)
class Algorithm:
    """A registered algorithm.

    Attributes:
        name: its name on the command line and in config.toml.
        help: one sentence.
        config: the dataclass of its hyperparameters.
        learner: the class of its learner.
        metrics: the meaning of each metric that its updates return, by name.
    """

    name: str
    help: str
    config: type[LearnerConfig]
    learner: type[Learner[Any]]
    metrics: dict[str, str]
