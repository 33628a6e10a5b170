"""Balanced replay (Lee et al. 2021): prefer offline rows that resemble online ones."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lunar_offline.agents.density_ratio import DensityRatio
from lunar_offline.agents.learner import Batch
from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.device import to_arrays, to_device
from lunar_offline.agents.nn.state_tensors import load_state, named_state
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.storage.tensor_file import Spec, spec_of
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.mixed_sampler import MixedSampler
from lunar_offline.transitions import Transitions

REFRESH_EVERY = 1_000
MAX_PRIORITIES = 10_000_000


class BalancedReplay:
    """Learns the density ratio of online to offline rows, and updates a sampler's priorities.

    Args:
        config: the config of the run.
        env: the env of the rows.
        dataset: all offline rows.
        sampler: a sampler whose first source is the dataset.
        device: device of the classifier.
    """

    def __init__(
        self,
        config: TrainConfig,
        env: EnvInfo,
        dataset: Transitions,
        sampler: MixedSampler,
        device: torch.device,
    ) -> None:
        self._dataset, self._sampler, self._device = dataset, sampler, device
        self._density = density_ratio(config, env, device)
        self._priorities: NDArray[np.float64] = np.empty(0)

    def update(self, batch: Batch, update_step: int) -> None:
        """Train the classifier on a mixed batch; every 1,000 updates, renew the priorities."""
        self._density.update(batch.observations, batch.actions, batch.n_offline)
        if update_step % REFRESH_EVERY == 0:
            observations = to_device(self._dataset.observations, self._device)
            actions = to_device(self._dataset.actions, self._device)
            self._prefer(self._density.priorities(observations, actions))

    def _prefer(self, priorities: NDArray[np.float64]) -> None:
        self._priorities = priorities
        self._sampler.prefer(priorities)

    def state_tensors(self) -> dict[str, Tensor]:
        """Return the tensors of the classifier, its optimizer and the priorities, by name."""
        state = density_state(self._density)
        return {**state, "density.priorities": torch.from_numpy(self._priorities)}

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore `state_tensors()`. Raises ValueError for priorities of another dataset."""
        optimizers = {"density": self._density.optimizer}
        load_state({"density": self._density.net}, optimizers, tensors)
        priorities = tensors["density.priorities"].numpy()
        if len(priorities) not in (0, len(self._dataset)) or (priorities < 0).any():
            raise ValueError("the priorities are not those of the dataset")
        if len(priorities):
            self._prefer(priorities)


def density_ratio(config: TrainConfig, env: EnvInfo, device: torch.device) -> DensityRatio:
    """Return the newly initialized classifier of a run."""
    spec, rate = ActionSpec(env.discrete, env.action_size), config.agent.learning_rate
    return DensityRatio(spec, env.observation_size, rate, config.seed, device)


def density_state(density: DensityRatio) -> dict[str, Tensor]:
    """Return the tensors of the classifier and its optimizer, by name."""
    return named_state({"density": density.net}, {"density": density.optimizer})


def balanced_spec(config: TrainConfig, env: EnvInfo) -> Spec:
    """Return the spec of `BalancedReplay.state_tensors()`; this needs no dataset."""
    state = density_state(density_ratio(config, env, torch.device("cpu")))
    return {
        **spec_of(to_arrays(state)),
        "density.priorities": (np.float64, (range(MAX_PRIORITIES + 1),)),
    }
