"""The parts that all algorithms share: the batch and the base class of learners."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from lunar_offline.agents import lazy_imports
from lunar_offline.agents.lazy_imports import losses, optimizer, policies, precision, state, torch
from lunar_offline.agents.learner_config import LearnerConfig
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.policy_average import PolicyAverage
from lunar_offline.errors import UsageError
from lunar_offline.seeding import Purpose, generator


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


ConfigT = TypeVar("ConfigT", bound=LearnerConfig)
NetworkT = TypeVar("NetworkT", bound="torch.nn.Module")


class Learner(ABC, Generic[ConfigT]):
    """An algorithm as the training loop uses it: networks, optimizers and one update.

    Example:
        >>> import lunar_offline as lo
        >>> from lunar_offline.agents.registry import find_algorithm
        >>> issubclass(find_algorithm("iql").learner, lo.Learner)
        True

    A subclass builds its networks in `build`, with `trained` and `target_of`, and takes its
    optimizer steps in `_update`, with `minimize` if `autograd` is true. It returns further tensors
    of a checkpoint in `scalars`.

    Args:
        config: hyperparameters.
        spec: the action space.
        observation_size: D.
        seed: seed of the initialization and of the noise of every update.
        device: where the tensors are stored.
        bf16: see `precision.bf16_products`.

    Attributes:
        autograd: whether its updates take gradients with autograd; else they run in inference mode.
        uses_bf16: whether its updates may round to bfloat16.
        policy: the policy that acts during training.
        average: holds the policy that is evaluated and saved.
        optimizers: by the name of the parameters that they step.
        update_step: number of updates taken.
        device: where batches must be stored.
    """

    autograd = False
    uses_bf16 = False
    policy: policies.Policy

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
        self._networks: dict[str, torch.nn.Module] = {}
        self._targets: dict[str, torch.Tensor] = {}
        self._max_grad_norm: dict[str, float] = {}
        self.build()
        self.average = PolicyAverage(self.policy, config.policy_tau)

    @abstractmethod
    def build(self) -> None:
        """Build the policy and the other networks from `config`, `spec` and `seed`."""

    def trained(self, name: str, network: NetworkT, *, max_grad_norm: float = 0.0) -> NetworkT:
        """Give a network an optimizer and a place in checkpoints, both under its name; return it.

        Args:
            name: of the network.
            network: a policy, critic or Ensemble, which has one flat parameter.
            max_grad_norm: `minimize` scales a longer gradient down to this norm; 0 never does.
        """
        self._networks[name] = network.to(self.device)
        self._max_grad_norm[name] = max_grad_norm
        self.optimizers[name] = optimizer.Adam(_flat(network), self.config.learning_rate)
        return network

    def target_of(self, name: str, network: NetworkT) -> NetworkT:
        """Return a copy of the trained network `name`, which `move_target` moves toward it."""
        target = copy.deepcopy(network).requires_grad_(False)
        self._networks[f"target_{name}"] = target
        self._targets[name] = _flat(target)
        return target

    def move_target(self, name: str, tau: float) -> None:
        """Move the target network of `name` by the share `tau` of the way to its parameters."""
        losses.lerp_(self._targets[name], self.optimizers[name].parameter, tau)

    def minimize(self, **loss_of: torch.Tensor) -> None:
        """Take one step of each named network along the gradient of its loss, by autograd.

        Every gradient is taken before the first step, and only with respect to that network.
        """
        gradients: dict[str, torch.Tensor] = {}
        for name, loss in loss_of.items():
            parameter = self.optimizers[name].parameter
            (gradients[name],) = torch.autograd.grad(loss, [parameter], retain_graph=True)
        for name, gradient in gradients.items():
            if self._max_grad_norm[name]:
                losses.clip_(gradient, self._max_grad_norm[name])
            self.optimizers[name].step(gradient)

    def draw_noise(self, *shape: int) -> torch.Tensor:
        """Return standard normal numbers for this update, float32.

        They depend on the seed and `update_step` alone: a second call in the same update returns
        the same numbers, so draw once what an update needs, and split it.
        """
        rng = generator(self.seed, Purpose.UPDATE_NOISE, self.update_step)
        drawn = rng.standard_normal(shape, dtype="float32")
        return lazy_imports.device.to_device(drawn, self.device)

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
        inference = torch.inference_mode(not self.autograd)
        with inference, precision.bf16_products() if self.bf16 else nullcontext():
            metrics = self._update(batch, online_episode)
            self.update_step += 1
            self.average.step(self.update_step)
        if self.autograd:
            return {name: value.detach() for name, value in metrics.items()}
        return metrics

    @abstractmethod
    def _update(self, batch: Batch, online_episode: int | None) -> dict[str, torch.Tensor]:
        """Step every optimizer and target; return the metrics."""

    def modules(self) -> dict[str, torch.nn.Module]:
        """Return the networks that the next update depends on, by name, without the average."""
        return self._networks

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

    def entropy_bonus(self, observations_BD: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Return the entropy bonus that the soft value adds to each action's reward, [B]: zero."""
        return torch.zeros(len(observations_BD))


def _flat(network: torch.nn.Module) -> torch.Tensor:
    parameters = list(network.parameters())
    if len(parameters) != 1:
        raise UsageError(
            f"{type(network).__name__} has {len(parameters)} parameters; a learner's network has "
            "one flat parameter, as an Ensemble has"
        )
    return parameters[0]


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
