"""Episodes of a behaviour policy, each from its own counted seed."""

from collections.abc import Iterator

from lunar_offline.data.rollout import Act, rollout
from lunar_offline.envs import EnvInfo
from lunar_offline.seeding import Purpose
from lunar_offline.transitions import Episode


def collect(env: EnvInfo, act: Act, *, seed: int, episodes: int) -> Iterator[Episode]:
    """Yield `episodes` episodes in the order of their index.

    Episode e depends on (seed, e) alone, so the first 100 of 800 are the 100 of 100.
    """
    yield from rollout(
        env.make,
        act,
        seed=seed,
        episodes=range(episodes),
        episode_purpose=Purpose.COLLECTION_EPISODE,
        action_purpose=Purpose.COLLECTION_ACTION,
    )
