"""Rollouts on fixed seeds that no training or collection episode uses."""

from collections.abc import Callable
from functools import partial

import torch

from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.rollout import Act, rollout
from lunar_offline.seeding import Purpose
from lunar_offline.transitions import Episode

EVALUATION_SEED = 0

STREAMS = {
    "validation": (Purpose.VALIDATION_EPISODE, Purpose.VALIDATION_ACTION),
    "evaluation": (Purpose.EVALUATION_EPISODE, Purpose.EVALUATION_ACTION),
}


def held_out_episodes(
    env: EnvInfo,
    act: Act,
    episodes: int,
    *,
    stream: str = "evaluation",
    workers: int = 1,
    on_episode: Callable[[Episode], None] | None = None,
) -> list[Episode]:
    """Run a policy for `episodes` episodes on the fixed seeds of a stream.

    The seeds depend on the stream alone, not on a run's seed, so every method starts from the same
    initial states. The `validation` seeds select the best policy of a run; the `evaluation` seeds
    are used for nothing else.

    Args:
        env: the env to run in.
        act: the policy.
        episodes: number of episodes, from the first seed of the stream.
        stream: `validation` or `evaluation`.
        workers: number of processes; the episodes do not depend on it, bit for bit.
        on_episode: is called with each episode in order, once it has ended.

    Returns:
        The episodes, in the order of their seeds.
    """
    episode_purpose, action_purpose = STREAMS[stream]
    found = []
    for episode in rollout(
        env.make,
        act,
        workers=workers,
        prepare=partial(torch.set_num_threads, 1),
        seed=EVALUATION_SEED,
        episodes=range(episodes),
        episode_purpose=episode_purpose,
        action_purpose=action_purpose,
    ):
        if on_episode is not None:
            on_episode(episode)
        found.append(episode)
    return found
