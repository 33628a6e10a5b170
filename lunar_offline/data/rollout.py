"""Vectorised rollouts whose episodes do not depend on how they were scheduled."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from lunar_offline.data.workers import in_order, share
from lunar_offline.seeding import Purpose, episode_seed, generator
from lunar_offline.transitions import Episode

# A matrix product's last bits depend on its number of rows, so inference always sees this many,
# padded where fewer episodes fly.
INFERENCE_ROWS = 16

# Episodes that are worth the start of another process, which takes two seconds.
LOT = 50

# Episodes that another process has at hand: those that fly, and some more to go on with.
AHEAD = INFERENCE_ROWS + 8

Act = Callable[[NDArray[np.float32], Sequence[np.random.Generator]], NDArray[Any]]
"""Maps observations [INFERENCE_ROWS, D] and one generator per live row to actions."""


class Flight:
    """One env slot and the episode that flies in it.

    Attributes:
        env: the slot's.
        number: the episode's place in the order.
        observations: so far, the first one included.
        rewards: so far.
        ended: the last step's (terminated, truncated).
    """

    def __init__(self, env: gym.Env) -> None:
        self.env = env

    def start(self, number: int, seed: int, rng: np.random.Generator) -> None:
        """Reset the env for another episode."""
        self.number, self.seed, self.rng = number, seed, rng
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
    workers: int = 1,
    prepare: Callable[[], object] = int,
) -> Iterator[Episode]:
    """Fly episodes, side by side in each process, and yield them in the order of `episodes`.

    Episode e starts from `episode_seed(seed, episode_purpose, e)` and draws its action noise from
    the stream (seed, action_purpose, e), so its bits depend neither on the others nor on `workers`.

    Args:
        make_env: makes one env; called at most INFERENCE_ROWS times in a process.
        act: the policy.
        seed: root seed.
        episodes: indices to fly.
        episode_purpose: stream of the env seeds.
        action_purpose: stream of the action noise.
        workers: processes, this one among them; few episodes start no other. With more than one,
            `make_env` and `act` can be pickled.
        prepare: called in each other process first; can be pickled.
    """
    fly = partial(
        _fly,
        make_env,
        act,
        seed=seed,
        episode_purpose=episode_purpose,
        action_purpose=action_purpose,
    )
    workers = min(workers, 1 + len(episodes) // LOT)
    flown = share(fly, enumerate(episodes), workers=workers, ahead=AHEAD, prepare=prepare)
    return in_order(flown)


def _fly(
    make_env: Callable[[], gym.Env],
    act: Act,
    waiting: Iterator[tuple[int, int]],
    *,
    seed: int,
    episode_purpose: Purpose,
    action_purpose: Purpose,
) -> Iterator[tuple[int, Episode]]:
    """Fly numbered episodes, and yield each with its number as soon as it has landed."""
    flights: list[Flight] = []

    def take_off(flight: Flight, number: int, index: int) -> None:
        env_seed = episode_seed(seed, episode_purpose, index)
        flight.start(number, env_seed, generator(seed, action_purpose, index))

    try:
        for number, index in islice(waiting, INFERENCE_ROWS):
            flights.append(Flight(make_env()))
            take_off(flights[-1], number, index)
        live = flights
        while live:
            padded = np.zeros((INFERENCE_ROWS, *live[0].observations[0].shape), dtype=np.float32)
            for row, flight in enumerate(live):
                padded[row] = flight.observations[-1]
            actions = act(padded, [flight.rng for flight in live])
            grounded = []
            for row, flight in enumerate(live):
                episode = flight.step(actions[row])
                if episode is not None:
                    yield flight.number, episode
                    following = next(waiting, None)
                    if following:
                        take_off(flight, *following)
                    else:
                        grounded.append(flight)
            live = [flight for flight in live if flight not in grounded]
    finally:
        for flight in flights:
            flight.env.close()
