import multiprocessing

import numpy as np
import pytest

from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.policies import make_policy
from lunar_offline.collection.episodes import collect_episodes
from lunar_offline.envs.lander import CONTINUOUS, DISCRETE
from lunar_offline.envs.rollout import INFERENCE_ROWS, rollout
from lunar_offline.policies.acting import policy_act
from lunar_offline.seeding import Purpose, episode_seed, generator
from lunar_offline.transitions import Episode


def fresh_act(*, discrete: bool, stochastic: bool = True):
    spec = ActionSpec(discrete, 4 if discrete else 2)
    policy = make_policy(spec, 8, (64, 64), generator(0, Purpose.INITIALIZATION))
    return policy_act(policy, stochastic=stochastic)


def same(a: Episode, b: Episode) -> bool:
    return (
        a.seed == b.seed
        and np.array_equal(a.observations, b.observations)
        and np.array_equal(a.actions, b.actions)
        and np.array_equal(a.rewards, b.rewards)
    )


@pytest.mark.parametrize("env", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_an_episode_does_not_depend_on_the_others(env) -> None:
    act = fresh_act(discrete=env.discrete)
    many = list(collect_episodes(env, act, seed=1, episodes=range(INFERENCE_ROWS + 9)))
    few = list(collect_episodes(env, act, seed=1, episodes=range(4)))
    assert all(same(a, b) for a, b in zip(many, few, strict=False))
    # alone, in another row of the inference batch
    (alone,) = rollout(
        env.make,
        act,
        seed=1,
        episodes=range(20, 21),
        episode_purpose=Purpose.COLLECTION_EPISODE,
        action_purpose=Purpose.COLLECTION_ACTION,
    )
    assert same(alone, many[20])


def test_episodes_come_in_order_with_their_seeds() -> None:
    act = fresh_act(discrete=True)
    episodes = list(collect_episodes(DISCRETE, act, seed=5, episodes=range(20)))
    expected = [episode_seed(5, Purpose.COLLECTION_EPISODE, e) for e in range(20)]
    assert [e.seed for e in episodes] == expected


@pytest.mark.parametrize("env", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_an_episode_replays_from_its_seed_and_actions(env) -> None:
    (episode,) = collect_episodes(env, fresh_act(discrete=env.discrete), seed=2, episodes=range(1))
    replayed = env.make()
    observation, _ = replayed.reset(seed=episode.seed)
    for t, action in enumerate(episode.actions):
        assert np.array_equal(observation, episode.observations[t])
        observation, reward, terminated, truncated, _ = replayed.step(action)
        assert reward == episode.rewards[t]
        assert (terminated, truncated) == (episode.terminations[t], episode.truncations[t])
    assert np.array_equal(observation, episode.observations[-1])
    assert terminated or truncated
    replayed.close()


def test_the_seed_matters() -> None:
    act = fresh_act(discrete=True)
    (a,) = collect_episodes(DISCRETE, act, seed=1, episodes=range(1))
    (b,) = collect_episodes(DISCRETE, act, seed=2, episodes=range(1))
    assert not np.array_equal(a.observations[0], b.observations[0])


@pytest.mark.parametrize("discrete", [True, False])
def test_a_row_does_not_depend_on_its_place(discrete: bool) -> None:
    # what makes the fixed inference batch enough for equal bits
    act = fresh_act(discrete=discrete, stochastic=False)
    observations = generator(3, Purpose.BATCH).standard_normal((INFERENCE_ROWS, 8), np.float32)
    expected = act(observations, [])
    for shift in range(INFERENCE_ROWS):
        rolled = act(np.roll(observations, shift, axis=0), [])
        assert np.array_equal(rolled, np.roll(expected, shift, axis=0))


STREAMS = {
    "seed": 1,
    "episode_purpose": Purpose.COLLECTION_EPISODE,
    "action_purpose": Purpose.COLLECTION_ACTION,
}


@pytest.mark.parametrize("env", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_processes_share_the_episodes_and_keep_their_bits(env, slowly: list[int]) -> None:
    act, episodes = fresh_act(discrete=env.discrete), range(60, 210)
    shared = list(rollout(env.make, act, workers=2, episodes=episodes, **STREAMS))
    assert 0 < len(slowly) < sum(len(episode) for episode in shared)  # others ran elsewhere
    alone = rollout(env.make, act, episodes=episodes, **STREAMS)
    assert all(same(a, b) for a, b in zip(shared, alone, strict=True))


def test_a_caller_that_stops_leaves_no_process_behind() -> None:
    act = fresh_act(discrete=True)
    episodes = rollout(DISCRETE.make, act, workers=2, episodes=range(200), **STREAMS)
    next(episodes)
    children = multiprocessing.active_children()
    assert children
    episodes.close()
    for child in children:
        child.join(10)
        assert not child.is_alive()
