"""What a learner is fed: batches of dataset and replay rows, as tensors."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lunar_offline.data.mixing import (
    MixedSampler,
    SharedBufferSampler,
    buffer_mode_episodes,
    split_batch,
)
from lunar_offline.data.replay import ReplayBuffer
from lunar_offline.envs import EnvInfo, invariant_rewards
from lunar_offline.errors import UsageError
from lunar_offline.experiment.config import TrainConfig
from lunar_offline.experiment.tensor_file import Spec, spec_of
from lunar_offline.learn.adam import Adam
from lunar_offline.learn.density import DensityRatio
from lunar_offline.learn.learner import Batch, load_state, named_state, to_device
from lunar_offline.learn.policies import ActionSpec
from lunar_offline.seeding import Purpose, Stream
from lunar_offline.transitions import Transitions

REFRESH_EVERY = 1_000
MAX_PRIORITIES = 10_000_000


class Feed:
    """Holds the dataset and the replay buffer of a run, and mixes them.

    Args:
        config: the run's.
        env: of both.
        dataset: all transitions of the dataset; None for rho 0.
        device: where batches go.

    Attributes:
        replay: to be filled with online transitions.

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
        offline = dataset if dataset is not None else Transitions(np.empty(0, dtype))
        self._online: MixedSampler | SharedBufferSampler
        if config.rho_mode == "buffer":
            offline = self._share_buffer(dataset)
            self._online = SharedBufferSampler(self.replay, config.batch_size)
        else:
            n_offline, n_online = split_batch(config.rho, config.batch_size)
            self._online = MixedSampler(((offline, n_offline), (self.replay, n_online)), dtype)
        self._offline = MixedSampler(((offline, config.batch_size), (self.replay, 0)), dtype)
        self._dataset, self._density, self._priorities = offline, None, np.empty(0)
        if config.balanced:
            self._density = _density(config, env, device)
        self._returns = None
        if config.agent.calibrated:
            rewards = learned_rewards(config, env, offline)
            self._returns = offline.returns(config.agent.discount, rewards).astype(np.float32)

    def _share_buffer(self, dataset: Transitions | None) -> Transitions:
        config = self._config
        if dataset is None:
            raise UsageError("--rho-mode buffer needs a dataset")
        n = buffer_mode_episodes(config.rho, config.online_episodes)
        there = len(dataset.episode_ends())
        if n > there:
            raise UsageError(
                f"rho {config.rho} of {config.online_episodes} online episodes needs {n} "
                f"offline ones; {config.dataset} has {there}"
            )
        offline = dataset.first_episodes(n)
        self.replay.extend(offline)
        return offline

    def batch(self, update_step: int, *, online: bool) -> Batch:
        """Draw the batch of an update: of the mix, or of the dataset alone."""
        drawn = (self._online if online else self._offline).sample(self._draws.at(update_step))
        rows, n_offline = drawn.transitions, drawn.n_offline
        everything = self._config.penalised_rows == "all"
        rewards = learned_rewards(self._config, self._env, rows)
        batch = to_batch(rows, len(rows) if everything else n_offline, self._device, rewards)
        if self._density and online:
            self._density.update(batch.observations, batch.actions, n_offline)
            if update_step % REFRESH_EVERY == 0:
                all_rows = to_batch(self._dataset, 0, self._device)
                self._prefer(self._density.priorities(all_rows.observations, all_rows.actions))
        if self._returns is None or drawn.offline_rows is None:
            return batch
        known = self._returns[drawn.offline_rows]
        floor = np.full(batch.n_penalised, -np.inf, dtype=np.float32)
        floor[:n_offline] = known
        return batch._replace(returns=to_device(floor, self._device))

    def _prefer(self, priorities: NDArray[np.float64]) -> None:
        assert isinstance(self._online, MixedSampler)
        self._priorities = priorities
        self._online.prefer(priorities)

    def state_tensors(self) -> dict[str, Tensor]:
        """Return what the next batch depends on, by name; the dataset and the cursor apart."""
        records = np.ascontiguousarray(self.replay.records)
        tensors = {
            "replay.records": torch.from_numpy(records.view(np.uint8).reshape(-1)),
            "replay.offline": torch.from_numpy(self.replay.offline),
        }
        if self._density:
            tensors |= named_state({"density": self._density.net}, self._optimizers())
            tensors["density.priorities"] = torch.from_numpy(self._priorities)
        return tensors

    def load_state_tensors(self, tensors: Mapping[str, Tensor], cursor: int) -> None:
        """Put `state_tensors()` back, which meet `state_spec`.

        Raises:
            ValueError: the replay holds what the env cannot give, or another number of rows.
        """
        raw = tensors["replay.records"].numpy()
        _check_records(raw, self.replay.records.dtype)
        records = raw.view(self.replay.records.dtype)
        _check_rows(Transitions(records), self._env)
        self.replay.restore(records, tensors["replay.offline"].numpy(), cursor)
        if self._density:
            load_state({"density": self._density.net}, self._optimizers(), tensors)
            priorities = tensors["density.priorities"].numpy()
            if len(priorities) not in (0, len(self._dataset)) or (priorities < 0).any():
                raise ValueError("the priorities are not those of the dataset")
            if len(priorities):
                self._prefer(priorities)

    def _optimizers(self) -> dict[str, Adam]:
        return {"density": self._density.optimizer} if self._density else {}


def learns_shaped(config: TrainConfig, env: EnvInfo) -> bool:
    """Return whether a run learns from `invariant_rewards` and not from the env's own."""
    return config.invariant_shaping and env.is_lander


def learned_rewards(config: TrainConfig, env: EnvInfo, rows: Transitions) -> NDArray[np.float32]:
    """Return the rewards [N] that a run learns from: see `learns_shaped`."""
    if not learns_shaped(config, env):
        return rows.rewards
    return invariant_rewards(
        rows.rewards, rows.next_observations, rows.terminations, config.agent.discount
    )


def state_spec(config: TrainConfig, env: EnvInfo) -> Spec:
    """Return what `Feed.state_tensors` gives, without a dataset."""
    rows, size = config.buffer_size, env.transition_dtype().itemsize
    spec: dict[str, tuple[torch.dtype, tuple[int | range, ...]]] = {
        "replay.records": (torch.uint8, (range(0, rows * size + 1, size),)),
        "replay.offline": (torch.bool, (range(rows + 1),)),
    }
    if config.balanced:
        density = _density(config, env, torch.device("cpu"))
        optimizers = {"density": density.optimizer}
        spec |= spec_of(named_state({"density": density.net}, optimizers))
        spec["density.priorities"] = (torch.float64, (range(MAX_PRIORITIES + 1),))
    return spec


def _density(config: TrainConfig, env: EnvInfo, device: torch.device) -> DensityRatio:
    spec, rate = ActionSpec(env.discrete, env.action_size), config.agent.learning_rate
    return DensityRatio(spec, env.observation_size, rate, config.seed, device)


def _check_records(raw: NDArray[np.uint8], dtype: np.dtype) -> None:
    """Raise ValueError for a flag that is neither 0 nor 1."""
    rows = raw.reshape(-1, dtype.itemsize)
    fields = dtype.fields or {}
    flags = [fields[name][1] for name in ("terminations", "truncations")]
    if (rows[:, flags] > 1).any():
        raise ValueError("the replay holds an end flag that is none")


def _check_rows(rows: Transitions, env: EnvInfo) -> None:
    """Raise ValueError for values that an env cannot give or take."""
    floats = (rows.observations, rows.next_observations, rows.rewards)
    if not all(np.isfinite(values).all() for values in floats):
        raise ValueError("the replay holds a value that is not finite")
    actions = rows.actions
    low, high = (0, env.action_size - 1) if env.discrete else (-1.0, 1.0)
    if not ((low <= actions) & (actions <= high)).all():
        raise ValueError("the replay holds an action that the env does not take")


def to_batch(
    rows: Transitions,
    n_penalised: int,
    device: torch.device,
    rewards: NDArray[np.float32] | None = None,
) -> Batch:
    """Copy a batch of records into tensors; `rewards` [N] stand in for the rows' own."""
    return Batch(
        observations=to_device(rows.observations, device),
        actions=to_device(rows.actions, device),
        rewards=to_device(rows.rewards if rewards is None else rewards, device),
        next_observations=to_device(rows.next_observations, device),
        terminations=to_device(rows.terminations, device),
        n_penalised=n_penalised,
    )
