"""The env loop: a recorder that steps one env, and rollouts that run episodes in parallel.

Collection, training, evaluation, verification, diagnosis and video all step an env through
`EpisodeRecorder`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from lunar_offline.process_pool import in_order, share
from lunar_offline.seeding import Purpose, episode_seed, generator
from lunar_offline.transitions import Episode

# The last bits of a matrix product depend on its number of rows, so inference always uses this
# many; the batch is padded if fewer episodes run.
INFERENCE_ROWS = 16

# Episodes per additional process: starting one takes two seconds.
EPISODES_PER_WORKER = 50

# Episodes sent to another process at a time: those that run at once, and a few more in reserve.
AHEAD = INFERENCE_ROWS + 8

Act = Callable[[NDArray[np.float32], Sequence[np.random.Generator]], NDArray[Any]]
"""Maps observations [INFERENCE_ROWS, D] and one generator per active row to actions."""

StepHook = Callable[[gym.Env, bool], object]
"""A function that is called after each reset and step: (env, whether the episode has ended)."""


class EpisodeRecorder:
    """Steps one env and records the episode that runs in it.

    Args:
        env: the env. `start` resets it; the caller closes it.
        on_step: see `StepHook`; None calls nothing.

    Attributes:
        env: the env.
        observations: of the episode so far, each float32 [D], including the first one.
        actions: of the episode so far.
        rewards: of the episode so far, as floats.
        terminated: whether the last step terminated the episode.
        truncated: whether the last step truncated the episode.
    """

    def __init__(self, env: gym.Env, on_step: StepHook | None = None) -> None:
        self.env, self._on_step = env, on_step

    def start(self, seed: int) -> None:
        """Reset the env with a seed, and start to record a new episode."""
        self._seed = seed
        observation, _ = self.env.reset(seed=seed)
        self.observations = [np.asarray(observation, dtype=np.float32)]
        self.actions: list[Any] = []
        self.rewards: list[float] = []
        self.terminated = self.truncated = False
        if self._on_step is not None:
            self._on_step(self.env, False)

    def step(self, action: Any) -> Episode | None:
        """Take one action; return the episode if this step ended it, else None."""
        observation, reward, terminated, truncated, _ = self.env.step(action)
        self.observations.append(np.asarray(observation, dtype=np.float32))
        self.actions.append(action)
        self.rewards.append(float(reward))
        self.terminated, self.truncated = bool(terminated), bool(truncated)
        ended = self.terminated or self.truncated
        if self._on_step is not None:
            self._on_step(self.env, ended)
        return self.episode() if ended else None

    def replay(self, seed: int, actions: Iterable[Any]) -> Episode | None:
        """Start from a seed and take the given actions until the episode ends.

        Returns:
            The episode, or None if it did not end within the given actions.
        """
        self.start(seed)
        episode = None
        for action in actions:
            episode = self.step(action)
            if episode is not None:
                break
        return episode

    def episode(self) -> Episode:
        """Return the steps since the last start as an episode; there must be at least one."""
        flags = np.zeros((2, len(self.rewards)), dtype=np.bool_)
        flags[:, -1] = self.terminated, self.truncated
        return Episode(
            observations=np.stack(self.observations),
            actions=np.asarray(self.actions),
            rewards=np.asarray(self.rewards, dtype=np.float64),
            terminations=flags[0],
            truncations=flags[1],
            seed=self._seed,
        )


def rollout(
    make_env: Callable[[], gym.Env],
    act: Act,
    *,
    seed: int,
    episodes: Sequence[int],
    episode_purpose: Purpose,
    action_purpose: Purpose,
    workers: int = 1,
    prepare: Callable[[], object] | None = None,
    on_step: StepHook | None = None,
) -> Iterator[Episode]:
    """Run episodes, several at once in each process, and yield them in the order of `episodes`.

    Episode e starts from `episode_seed(seed, episode_purpose, e)` and draws its action noise from
    the stream (seed, action_purpose, e). An episode is therefore bit-identical for any set of other
    episodes and any number of workers.

    Args:
        make_env: makes one env; called at most INFERENCE_ROWS times per process.
        act: the policy; see `Act`.
        seed: root seed.
        episodes: indices of the episodes to run.
        episode_purpose: random stream of the env seeds.
        action_purpose: random stream of the action noise.
        workers: number of processes, including this one; fewer are used for few episodes. With more
            than one, `make_env` and `act` must be picklable.
        prepare: called first in each additional process; must be picklable.
        on_step: see `StepHook`; supported with one worker only.
    """
    run = partial(
        _run_episodes,
        make_env,
        act,
        seed=seed,
        episode_purpose=episode_purpose,
        action_purpose=action_purpose,
        on_step=on_step,
    )
    workers = min(workers, 1 + len(episodes) // EPISODES_PER_WORKER)
    numbered = share(run, enumerate(episodes), workers=workers, ahead=AHEAD, prepare=prepare)
    return in_order(numbered)


class _Slot(EpisodeRecorder):
    """A recorder with the number of its episode.

    Attributes:
        number: position of the episode in the order.
        rng: draws the action noise of the episode.
    """

    def begin(self, number: int, seed: int, rng: np.random.Generator) -> None:
        """Reset the env for the episode at position `number`."""
        self.number, self.rng = number, rng
        self.start(seed)


def _run_episodes(
    make_env: Callable[[], gym.Env],
    act: Act,
    waiting: Iterator[tuple[int, int]],
    *,
    seed: int,
    episode_purpose: Purpose,
    action_purpose: Purpose,
    on_step: StepHook | None,
) -> Iterator[tuple[int, Episode]]:
    """Run numbered episodes; yield each with its number as soon as it has ended."""
    slots: list[_Slot] = []

    def begin(slot: _Slot, number: int, index: int) -> None:
        env_seed = episode_seed(seed, episode_purpose, index)
        slot.begin(number, env_seed, generator(seed, action_purpose, index))

    try:
        for number, index in islice(waiting, INFERENCE_ROWS):
            slots.append(_Slot(make_env(), on_step))
            begin(slots[-1], number, index)
        live = slots
        while live:
            padded = np.zeros((INFERENCE_ROWS, *live[0].observations[0].shape), dtype=np.float32)
            for row, slot in enumerate(live):
                padded[row] = slot.observations[-1]
            actions = act(padded, [slot.rng for slot in live])
            finished = []
            for row, slot in enumerate(live):
                episode = slot.step(actions[row])
                if episode is not None:
                    yield slot.number, episode
                    following = next(waiting, None)
                    if following:
                        begin(slot, *following)
                    else:
                        finished.append(slot)
            live = [slot for slot in live if slot not in finished]
    finally:
        for slot in slots:
            slot.env.close()
