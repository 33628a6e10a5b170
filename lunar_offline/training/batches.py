"""The batches of a run: rows of the dataset and the replay buffer, as tensors."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lunar_offline.agents.learner import Batch
from lunar_offline.agents.learner_config import ValueConfig
from lunar_offline.agents.nn.device import to_device
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.errors import UsageError
from lunar_offline.seeding import Purpose, Stream
from lunar_offline.storage.tensor_file import Spec
from lunar_offline.training.balanced_replay import BalancedReplay, balanced_spec
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.mixed_sampler import MixedSampler, SharedBufferSampler
from lunar_offline.training.replay_buffer import ReplayBuffer
from lunar_offline.training.rho import buffer_mode_episodes, split_batch
from lunar_offline.transitions import Transitions


class Batches:
    """The dataset and the replay buffer of a run, and the batches that mix them.

    Args:
        config: the config of the run.
        env: the env of the dataset and the replay buffer.
        dataset: all transitions of the dataset; None for rho 0.
        device: device of the batches.

    Attributes:
        replay: the replay buffer; the training loop adds the online transitions.
        balanced: sets the priorities of offline rows; None without balanced replay.

    Raises:
        UsageError: the dataset has too few episodes for the shared buffer.
    """

    def __init__(
        self, config: TrainConfig, env: EnvInfo, dataset: Transitions | None, device: torch.device
    ) -> None:
        self._config, self._env, self._device = config, env, device
        dtype = env.transition_dtype()
        self._draws = Stream(config.seed, Purpose.BATCH)
        self.replay = ReplayBuffer(config.buffer_size, dtype)
        self.balanced: BalancedReplay | None = None
        offline = dataset if dataset is not None else Transitions(np.empty(0, dtype))
        self._online: MixedSampler | SharedBufferSampler
        if config.rho_mode == "buffer":
            offline = self._share_buffer(dataset)
            self._online = SharedBufferSampler(self.replay, config.batch_size)
        else:
            n_offline, n_online = split_batch(config.rho, config.batch_size)
            self._online = MixedSampler(((offline, n_offline), (self.replay, n_online)), dtype)
            if config.balanced:
                self.balanced = BalancedReplay(config, env, offline, self._online, device)
        self._offline = MixedSampler(((offline, config.batch_size), (self.replay, 0)), dtype)
        self._returns = None
        if config.agent.needs_returns:
            returns = offline.returns(discount_of(config), self._rewards(offline))
            self._returns = returns.astype(np.float32)

    def _share_buffer(self, dataset: Transitions | None) -> Transitions:
        config = self._config
        if dataset is None:
            raise UsageError("--rho-mode buffer needs a dataset")
        n = buffer_mode_episodes(config.rho, config.online_episodes)
        available = len(dataset.episode_ends())
        if n > available:
            raise UsageError(
                f"rho {config.rho} with {config.online_episodes} online episodes needs {n} "
                f"offline episodes; {config.dataset} has {available}"
            )
        offline = dataset.first_episodes(n)
        self.replay.extend(offline)
        return offline

    def _rewards(self, rows: Transitions) -> NDArray[np.float32]:
        config = self._config
        return self._env.learned_rewards(
            rows, discount_of(config), invariant=config.invariant_shaping
        )

    def draw(self, update_step: int, *, online: bool) -> Batch:
        """Draw the batch of an update. The draw depends on the update step and has no side effect.

        Args:
            update_step: number of updates so far.
            online: mix offline and online rows; False draws from the dataset alone.
        """
        drawn = (self._online if online else self._offline).sample(self._draws.at(update_step))
        rows, returns = drawn.transitions, None
        if self._returns is not None and drawn.offline_rows is not None:
            returns = to_device(self._returns[drawn.offline_rows], self._device)
        return Batch(
            observations=to_device(rows.observations, self._device),
            actions=to_device(rows.actions, self._device),
            rewards=to_device(self._rewards(rows), self._device),
            next_observations=to_device(rows.next_observations, self._device),
            terminations=to_device(rows.terminations, self._device),
            n_offline=drawn.n_offline,
            returns=returns,
        )

    def state_tensors(self) -> dict[str, Tensor]:
        """Return the tensors that the next batch depends on, by name.

        They do not include the dataset and the cursor of the replay buffer.
        """
        records = np.ascontiguousarray(self.replay.records)
        tensors = {
            "replay.records": torch.from_numpy(records.view(np.uint8).reshape(-1)),
            "replay.offline": torch.from_numpy(self.replay.offline),
        }
        return tensors | (self.balanced.state_tensors() if self.balanced else {})

    def load_state_tensors(self, tensors: Mapping[str, Tensor], cursor: int) -> None:
        """Restore `state_tensors()`.

        Args:
            tensors: meet `state_spec`.
            cursor: the row of the replay buffer that is written next.

        Raises:
            ValueError: the replay has values that the env cannot give or take, or an inconsistent
                number of rows.
        """
        raw = tensors["replay.records"].numpy()
        _check_flags(raw, self.replay.records.dtype)
        records = raw.view(self.replay.records.dtype)
        _check_rows(Transitions(records), self._env)
        self.replay.restore(records, tensors["replay.offline"].numpy(), cursor)
        if self.balanced:
            self.balanced.load_state_tensors(tensors)


def discount_of(config: TrainConfig) -> float:
    """Return the discount of a run; 1 for an algorithm without a value function."""
    return config.agent.discount if isinstance(config.agent, ValueConfig) else 1.0


def state_spec(config: TrainConfig, env: EnvInfo) -> Spec:
    """Return the spec of `Batches.state_tensors()`; this needs no dataset."""
    rows, size = config.buffer_size, env.transition_dtype().itemsize
    replay: Spec = {
        "replay.records": (np.uint8, (range(0, rows * size + 1, size),)),
        "replay.offline": (np.bool_, (range(rows + 1),)),
    }
    return {**replay, **(balanced_spec(config, env) if config.balanced else {})}


def _check_flags(raw: NDArray[np.uint8], dtype: np.dtype) -> None:
    """Raise ValueError for a flag that is neither 0 nor 1."""
    rows = raw.reshape(-1, dtype.itemsize)
    fields = dtype.fields or {}
    flags = [fields[name][1] for name in ("terminations", "truncations")]
    if (rows[:, flags] > 1).any():
        raise ValueError("the replay buffer holds an end flag that is neither true nor false")


def _check_rows(rows: Transitions, env: EnvInfo) -> None:
    """Raise ValueError for values that the env cannot give or take."""
    floats = (rows.observations, rows.next_observations, rows.rewards)
    if not all(np.isfinite(values).all() for values in floats):
        raise ValueError("the replay buffer holds a value that is not finite")
    actions = rows.actions
    low, high = (0, env.action_size - 1) if env.discrete else (-1.0, 1.0)
    if not ((low <= actions) & (actions <= high)).all():
        raise ValueError("the replay buffer holds an action that the env does not accept")
