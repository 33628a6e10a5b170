"""Vectorised rollouts whose episodes do not depend on how they were scheduled."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from lunar_offline.data.workers import map_in_processes
from lunar_offline.seeding import Purpose, episode_seed, generator
from lunar_offline.transitions import Episode

# A matrix product's last bits depend on its number of rows, so inference always sees this many,
# padded where fewer episodes fly.
INFERENCE_ROWS = 16

# Episodes that one process flies at a time. Each lot ends with slots that have nothing left to fly,
# so it is large beside INFERENCE_ROWS.
LOT = 100

Act = Callable[[NDArray[np.float32], Sequence[np.random.Generator]], NDArray[Any]]
"""Maps observations [INFERENCE_ROWS, D] and one generator per live row to actions."""


class Flight:
    """One env slot and the episode that flies in it.

    Attributes:
        env: the slot's.
        observations: so far, the first one included.
        rewards: so far.
        ended: the last step's (terminated, truncated).
    """

    def __init__(self, env: gym.Env) -> None:
        self.env = env
        self.index = -1

    def start(self, index: int, seed: int, rng: np.random.Generator) -> None:
        """Reset the env for episode `index`."""
        self.index, self.seed, self.rng = index, seed, rng
        observation, _ = self.env.reset(seed=seed)
        self.observations = [np.asarray(observation, dtype=np.float32)]
        self.actions: list[Any] = []
        self.rewards: list[float] = []
        self.ended = (False, False)

    def step(self, action: Any) -> Episode | None:
        """Take one action; return the episode once it has ended."""
        observation, reward, terminated, truncated, _ = self.env.step(action)
        self.observations.append(np.asarray(observation, dtype=np.float32))
        self.actions.append(action)
        self.rewards.append(float(reward))
        self.ended = (bool(terminated), bool(truncated))
        if not any(self.ended):
            return None
        steps = len(self.rewards)
        flags = np.zeros((2, steps), dtype=np.bool_)
        flags[:, -1] = self.ended
        return Episode(
            observations=np.stack(self.observations),
            actions=np.asarray(self.actions),
            rewards=np.asarray(self.rewards, dtype=np.float64),
            terminations=flags[0],
            truncations=flags[1],
            seed=self.seed,
        )


def rollout(
    make_env: Callable[[], gym.Env],
    act: Act,
    *,
    seed: int,
    episodes: Sequence[int],
    episode_purpose: Purpose,
    action_purpose: Purpose,
) -> Iterator[Episode]:
    """Fly episodes side by side and yield them in the order of their index.

    Episode e starts from `episode_seed(seed, episode_purpose, e)` and draws its action noise from
    the stream (seed, action_purpose, e), so its bits do not depend on the others.

    Args:
        make_env: makes one env; called at most INFERENCE_ROWS times.
        act: the policy.
        seed: root seed.
        episodes: indices to fly.
        episode_purpose: stream of the env seeds.
        action_purpose: stream of the action noise.

    Yields:
        Whole episodes, in the order of `episodes`.
    """
    waiting = iter(episodes)
    landed: dict[int, Episode] = {}
    due = iter(episodes)
    next_due = next(due, None)
    flights = [Flight(make_env()) for _ in range(min(INFERENCE_ROWS, len(episodes)))]

    def take_off(flight: Flight) -> bool:
        index = next(waiting, None)
        if index is None:
            return False
        env_seed = episode_seed(seed, episode_purpose, index)
        flight.start(index, env_seed, generator(seed, action_purpose, index))
        return True

    try:
        live = [flight for flight in flights if take_off(flight)]
        while live:
            padded = np.zeros((INFERENCE_ROWS, *live[0].observations[0].shape), dtype=np.float32)
            for row, flight in enumerate(live):
                padded[row] = flight.observations[-1]
            actions = act(padded, [flight.rng for flight in live])
            grounded = []
            for row, flight in enumerate(live):
                episode = flight.step(actions[row])
                if episode is not None:
                    landed[flight.index] = episode
                    if not take_off(flight):
                        grounded.append(flight)
            live = [flight for flight in live if flight not in grounded]
            while next_due in landed:
                yield landed.pop(next_due)
                next_due = next(due, None)
    finally:
        for flight in flights:
            flight.env.close()


def rollout_in_processes(
    make_env: Callable[[], gym.Env],
    act: Act,
    *,
    workers: int,
    prepare: Callable[[], object],
    lot: int = LOT,
    episodes: Sequence[int],
    **streams: Any,
) -> Iterator[Episode]:
    """Fly as `rollout` does, with the same bits, in several processes.

    Args:
        make_env: can be pickled.
        act: can be pickled.
        workers: processes; with 1, or one lot, everything stays in this process.
        prepare: called in a started process before a lot; can be pickled.
        lot: episodes that a process flies at a time.
        episodes: indices to fly.
        **streams: `seed`, `episode_purpose` and `action_purpose` of `rollout`.

    Yields:
        Whole episodes in the order of `episodes`, lot by lot.
    """
    lots = [episodes[start : start + lot] for start in range(0, len(episodes), lot)]
    if workers == 1 or len(lots) < 2:
        yield from rollout(make_env, act, episodes=episodes, **streams)
        return
    fly = partial(_fly_lot, make_env, act, prepare, streams)
    for flown in map_in_processes(fly, lots, workers=workers):
        yield from flown


def _fly_lot(
    make_env: Callable[[], gym.Env],
    act: Act,
    prepare: Callable[[], object],
    streams: dict[str, Any],
    lot: Sequence[int],
) -> list[Episode]:
    prepare()
    return list(rollout(make_env, act, episodes=lot, **streams))
