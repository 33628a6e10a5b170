"""One recorder steps every env, and what it records can be run again."""

import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import lunar_offline
from lunar_offline.envs.env_info import EnvInfo
from lunar_offline.envs.lander import CONTINUOUS, DISCRETE
from lunar_offline.envs.registry import find_env
from lunar_offline.envs.rollout import INFERENCE_ROWS, EpisodeRecorder, rollout
from lunar_offline.policies.acting import random_act
from lunar_offline.seeding import Purpose
from lunar_offline.transitions import FIELDS, Episode

ENVS = pytest.mark.parametrize(
    "env", [DISCRETE, CONTINUOUS, find_env("CartPole-v1")], ids=["discrete", "continuous", "named"]
)


def random_rollout(env: EnvInfo, episodes: int, **options) -> list[Episode]:
    return list(
        rollout(
            env.make,
            random_act(env),
            seed=4,
            episodes=range(episodes),
            episode_purpose=Purpose.COLLECTION_EPISODE,
            action_purpose=Purpose.COLLECTION_ACTION,
            **options,
        )
    )


def check_same(a: Episode, b: Episode) -> None:
    assert a.seed == b.seed
    for name in FIELDS:
        one, other = getattr(a, name), getattr(b, name)
        assert one.dtype == other.dtype, name
        assert np.array_equal(one, other), name


@ENVS
def test_a_recorded_episode_replays_bit_for_bit(env: EnvInfo) -> None:
    made = env.make()
    recorder = EpisodeRecorder(made)
    for episode in random_rollout(env, 3):
        assert episode.seed is not None
        replayed = recorder.replay(episode.seed, episode.actions)
        assert replayed is not None
        check_same(replayed, episode)
    made.close()


@ENVS
def test_a_replay_stops_at_the_end_or_where_the_actions_run_out(env: EnvInfo) -> None:
    (episode,) = random_rollout(env, 1)
    assert episode.seed is not None
    made = env.make()
    recorder = EpisodeRecorder(made)
    assert recorder.replay(episode.seed, episode.actions[:5]) is None
    assert (recorder.terminated, recorder.truncated) == (False, False)
    part = recorder.episode()
    assert np.array_equal(part.observations, episode.observations[:6])
    assert np.array_equal(part.rewards, episode.rewards[:5])
    assert not np.concatenate([part.terminations, part.truncations]).any()
    twice = np.concatenate([episode.actions, episode.actions])
    whole = recorder.replay(episode.seed, twice)  # takes no step beyond the end
    assert whole is not None
    check_same(whole, episode)
    assert recorder.replay(episode.seed, []) is None
    assert len(recorder.observations) == 1
    made.close()


def test_a_time_limit_is_a_truncation() -> None:
    made = gym.wrappers.TimeLimit(DISCRETE.make(), max_episode_steps=7)
    ends: list[bool] = []
    recorder = EpisodeRecorder(made, lambda env, ended: ends.append(ended))
    episode = recorder.replay(0, [0] * 20)
    assert episode is not None
    assert len(episode) == 7
    assert (recorder.terminated, recorder.truncated) == (False, True)
    assert episode.truncations.tolist() == [False] * 6 + [True]
    assert ends == [False] * 7 + [True]
    assert not episode.terminations.any()
    made.close()


@ENVS
def test_the_hook_is_called_after_the_reset_and_after_each_step(env: EnvInfo) -> None:
    calls: list[tuple[gym.Env, int, bool]] = []
    made = env.make()

    def hook(of: gym.Env, ended: bool) -> None:
        calls.append((of, len(recorder.rewards), ended))

    recorder = EpisodeRecorder(made, hook)
    recorder.start(5)
    assert calls == [(made, 0, False)]
    rng, episode = np.random.Generator(np.random.Philox(1)), None
    while episode is None:
        episode = recorder.step(env.random_action(rng))
        assert len(calls) == 1 + len(recorder.rewards)
    expected = [(made, t, t == len(episode)) for t in range(len(episode) + 1)]
    assert calls == expected
    calls.clear()
    recorder.replay(5, episode.actions)
    assert calls == expected
    made.close()


def test_a_rollouts_hook_sees_every_reset_and_step_and_changes_nothing() -> None:
    ends: list[bool] = []
    n = INFERENCE_ROWS + 3
    episodes = random_rollout(DISCRETE, n, on_step=lambda env, ended: ends.append(ended))
    assert len(ends) == sum(1 + len(episode) for episode in episodes)
    assert sum(ends) == n
    for one, other in zip(episodes, random_rollout(DISCRETE, n), strict=True):
        check_same(one, other)


def test_no_other_file_steps_an_env() -> None:
    root = Path(lunar_offline.__file__).parent
    stepping = {
        file.relative_to(root).as_posix()
        for file in root.rglob("*.py")
        if re.search(r"env\w*\.step\(", file.read_text(encoding="utf-8"))
    }
    assert stepping == {"envs/rollout.py"}
