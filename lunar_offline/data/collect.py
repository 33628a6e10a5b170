"""Episodes of a behaviour policy, each from its own counted seed."""

from collections.abc import Callable, Iterator, Sequence

from lunar_offline.data.rollout import Act, rollout
from lunar_offline.envs import EnvInfo
from lunar_offline.seeding import Purpose
from lunar_offline.transitions import Episode


def collect(
    env: EnvInfo,
    act: Act,
    *,
    seed: int,
    episodes: Sequence[int],
    workers: int = 1,
    prepare: Callable[[], object] = int,
) -> Iterator[Episode]:
    """Yield the episodes of these indices, in their order.

    Episode e depends on (seed, e) alone, so the first 100 of 800 are the 100 of 100.

    Args:
        env: what is flown.
        act: the policy.
        seed: root seed.
        episodes: indices.
        workers: processes, this one among them; the bits do not depend on how many.
        prepare: called in each other process before it flies.
    """
    return rollout(
        env.make,
        act,
        workers=workers,
        prepare=prepare,
        seed=seed,
        episodes=episodes,
        episode_purpose=Purpose.COLLECTION_EPISODE,
        action_purpose=Purpose.COLLECTION_ACTION,
    )
