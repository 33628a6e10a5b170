"""Statistics of episodes: worked by hand, and the same wherever a dataset shows them."""

import json
import math
import sys

import numpy as np
import pytest
from lunar_offline_cli.app import main

from lunar_offline.datasets.dataset import Dataset, read_dataset
from lunar_offline.datasets.description import describe_dataset
from lunar_offline.datasets.episode_file import EpisodeFile
from lunar_offline.datasets.episode_statistics import Distribution, EpisodeStatistics
from lunar_offline.datasets.publish import publish
from lunar_offline.envs.registry import find_env
from lunar_offline.transitions import Episode

ID = "by-hand-v0"
REWARDS = ([1.0, 2.0, 100.0], [-1.0, -100.0], [0.5, 0.25, 0.25, 1.0])
TERMINATED = (True, True, False)
ACTIONS = {
    True: ([0, 2, 2], [1, 3], [0, 0, 2, 1]),
    False: (
        [[-1.0, 0.5], [-0.9, 0.5], [-0.1, 0.5]],
        [[0.1, -0.5], [0.3, -0.5]],
        [[0.3, 0.0], [0.5, 0.0], [0.95, 0.0], [1.0, 0.0]],
    ),
}
RETURNS = Distribution(
    min=-101.0,
    quartile_low=-49.5,
    median=2.0,
    quartile_high=52.5,
    max=103.0,
    mean=4.0 / 3.0,
    sd=math.sqrt(31213.0 / 3.0),  # of 103 - 4/3, -101 - 4/3 and 2 - 4/3, over n - 1
    iqm=4.0 / 3.0,  # a quarter of three is no whole value: nothing is cut
)
LENGTHS = Distribution(2.0, 2.5, 3.0, 3.5, 4.0, mean=3.0, sd=1.0, iqm=3.0)
COUNTS = {
    True: [3, 2, 3, 1],
    # per dimension, how many of the nine lie in [-1, -0.8), [-0.8, -0.6) ... [0.8, 1]
    False: [[2, 0, 0, 0, 1, 1, 2, 1, 0, 2], [0, 0, 2, 0, 0, 4, 0, 3, 0, 0]],
}


@pytest.fixture(params=[True, False], ids=["discrete", "continuous"])
def discrete(request: pytest.FixtureRequest) -> bool:
    return request.param


def _by_hand(discrete: bool) -> list[Episode]:
    episodes = []
    for seed, (rewards, terminated) in enumerate(zip(REWARDS, TERMINATED, strict=True)):
        ends = np.arange(len(rewards)) == len(rewards) - 1
        episodes.append(
            Episode(
                observations=np.full((len(rewards) + 1, 8), 0.25, dtype=np.float32),
                actions=np.array(ACTIONS[discrete][seed], np.int64 if discrete else np.float32),
                rewards=np.array(rewards),
                terminations=ends & terminated,
                truncations=ends & (not terminated),
                seed=seed,
            )
        )
    return episodes


def _published(episodes: list[Episode], discrete: bool) -> Dataset:
    env = find_env(discrete=discrete)
    source = {"policy": "hand", "policy_sha256": "", "episodes": len(episodes)}
    recipe = {"env_id": env.env_id, "env_kwargs": dict(env.kwargs), "seed": 0, "sources": [source]}
    info = describe_dataset(
        ID, episodes, env, recorded_from="written by hand", algorithm="none", recipe=recipe
    )
    publish(ID, EpisodeFile(episodes), env, info)
    return read_dataset(ID)


def _check_by_hand(found: EpisodeStatistics, discrete: bool) -> None:
    assert (found.episodes, found.steps) == (3, 9)
    for spread, expected in ((found.returns, RETURNS), (found.lengths, LENGTHS)):
        assert vars(spread) == pytest.approx(vars(expected), rel=1e-15)
    assert found.outcomes == {"landed": 1, "crashed": 1, "truncated": 1}
    assert found.crash_rate == 1 / 3
    assert found.actions == COUNTS[discrete]


def test_three_episodes_by_hand(discrete: bool) -> None:
    episodes, env = _by_hand(discrete), find_env(discrete=discrete)
    found = EpisodeStatistics.of_episodes(episodes, env)
    _check_by_hand(found, discrete)
    dataset = _published(episodes, discrete)
    _check_by_hand(dataset.statistics(), discrete)
    assert dataset.statistics() == found


def test_long_episodes_agree_to_the_last_bit(random_episodes, discrete: bool) -> None:
    """The rewards of an episode must be added in the same order wherever they are."""
    episodes: list[Episode] = random_episodes[discrete]
    assert min(map(len, episodes)) > 50
    env, dataset = find_env(discrete=discrete), _published(episodes, discrete)
    assert dataset.episode_returns().tolist() == [e.episode_return for e in episodes]
    found = EpisodeStatistics.of_episodes(episodes, env)
    assert dataset.statistics() == found == EpisodeStatistics.of_episodes(dataset.episodes(), env)


def test_the_same_numbers_are_everywhere(
    discrete: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = _published(_by_hand(discrete), discrete)
    assert dataset.folder.manifest is not None
    assert dataset.folder.manifest["statistics"] == dataset.statistics().to_dict()

    card = (dataset.path / "README.md").read_text()
    assert "| return | 1.3 | 102.0 | -101.0 | 2.0 | 103.0 |\n" in card
    assert "| length | 3.0 | 1.0 | 2.0 | 3.0 | 4.0 |\n" in card
    assert "Episodes: 1 landed, 1 crashed, 1 truncated.\n" in card
    told = "3 episodes (9 steps): written by hand, in "
    mean = "Mean return 1.3, standard deviation 102.0."
    for text in (card, dataset.metadata["description"]):
        assert told in text
        assert mean in text

    monkeypatch.setattr(sys, "argv", ["lunar-offline", "dataset", "show", ID, "--json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    shown = json.loads(capsys.readouterr().out)
    assert {key: shown[key] for key in ("episodes", "steps", "length_mean", "truncated")} == {
        "episodes": 3,
        "steps": 9,
        "length_mean": 3.0,
        "truncated": 1,
    }
    returns = {key: shown[f"return_{key}"] for key in ("mean", "sd", "iqm", "min", "max")}
    assert returns == {"mean": 1.33, "sd": 102.0, "iqm": 1.33, "min": -101.0, "max": 103.0}


def test_one_episode_has_no_spread(discrete: bool) -> None:
    found = EpisodeStatistics.of_episodes(_by_hand(discrete)[:1], find_env(discrete=discrete))
    assert found.returns == Distribution(*[103.0] * 5, mean=103.0, sd=0.0, iqm=103.0)
    assert found.outcomes == {"landed": 1, "crashed": 0, "truncated": 0}


def test_values_are_plain_json(discrete: bool) -> None:
    found = EpisodeStatistics.of_episodes(_by_hand(discrete), find_env(discrete=discrete))
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
