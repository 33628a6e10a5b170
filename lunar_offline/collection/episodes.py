"""Episodes of a behavior policy, each with a seed that depends on its index alone."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lunar_offline.envs.action_range import repeatable
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.rollout import Act, rollout
from lunar_offline.seeding import Purpose
from lunar_offline.transitions import Actions, Episode


def collect_episodes(
    env: EnvInfo,
    act: Act,
    *,
    seed: int,
    episodes: Sequence[int],
    workers: int = 1,
    prepare: Callable[[], object] | None = None,
) -> Iterator[Episode]:
    """Run a policy and yield the episodes with the given indices, in their order.

    Episode e depends on (seed, e) alone, so the first 100 of 800 episodes equal 100 episodes
    collected alone.

    Args:
        env: the env to run in.
        act: the policy.
        seed: root seed.
        episodes: the indices.
        workers: number of processes, this one included; the episodes do not depend on it.
        prepare: is called once at the start of each further process.
    """
    return rollout(
        env.make,
        act if env.discrete else partial(_act_repeatably, env, act),
        workers=workers,
        prepare=prepare,
        seed=seed,
        episodes=episodes,
        episode_purpose=Purpose.COLLECTION_EPISODE,
        action_purpose=Purpose.COLLECTION_ACTION,
    )


def _act_repeatably(
    env: EnvInfo,
    act: Act,
    observations: NDArray[np.float32],
    rngs: Sequence[np.random.Generator],
) -> Actions:
    return repeatable(env.action_space, act(observations, rngs))
