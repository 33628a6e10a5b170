from pathlib import Path

import numpy as np
import pytest

from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.policies import act, make_policy
from lunar_offline.envs.registry import find_env
from lunar_offline.errors import LunarOfflineError, UsageError
from lunar_offline.policies import SHIPPED
from lunar_offline.policies.acting import thresholded_act
from lunar_offline.policies.behavior import behavior_policy, policy_card, shipped_policy
from lunar_offline.policies.policy_file import read_policy_file, save_policy
from lunar_offline.seeding import Purpose, generator


@pytest.mark.parametrize("discrete", [True, False])
def test_a_policy_comes_back_whole(tmp_path: Path, discrete: bool) -> None:
    env = find_env(discrete=discrete)
    policy = make_policy(
        ActionSpec(discrete, env.action_size), 8, (16, 8), generator(0, Purpose.INITIALIZATION)
    )
    path = tmp_path / "p.safetensors"
    save_policy(path, policy, env, (16, 8), {"algorithm": "sac"})
    stored = read_policy_file(path)
    assert stored.env is env
    assert stored.provenance == {"algorithm": "sac"}
    states = np.linspace(-1, 1, 32, dtype=np.float32).reshape(4, 8)
    assert np.array_equal(act(stored.policy, states, None), act(policy, states, None))
    before = path.read_bytes()
    save_policy(path, policy, env, (16, 8), {"algorithm": "sac"})
    assert path.read_bytes() == before


@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("name", ["expert-v1", "expert", "medium"])
def test_the_shipped_policies_are_what_their_cards_say(name: str, discrete: bool) -> None:
    path = shipped_policy(name, find_env(discrete=discrete))
    stored = read_policy_file(path)
    assert stored.env.discrete == discrete
    card = policy_card(path)
    assert card["episodes"] == 1000
    low, high = {
        "expert-v1": (275, 320),
        "expert": (250 if discrete else 260, 320),
        "medium": (50, 150),
    }[name]
    assert low <= card["mean"] <= high
    assert (path.parents[1] / "cards" / f"{path.stem}.md").is_file()


def reference_mean(name: str, *, discrete: bool) -> float:
    return policy_card(shipped_policy(name, find_env(discrete=discrete)))["mean"]


def test_the_shipped_policies_are_ordered() -> None:
    for discrete in (True, False):
        means = [reference_mean(name, discrete=discrete) for name in SHIPPED[:4]]
        assert means == sorted(means, reverse=True)


@pytest.mark.parametrize("discrete", [True, False])
def test_reference_scores_are_those_of_the_cards(discrete: bool) -> None:
    scores = find_env(discrete=discrete).reference_scores
    assert scores is not None
    assert scores.random == reference_mean("random", discrete=discrete)
    assert scores.expert == reference_mean("expert", discrete=discrete)


def test_unknown_policies(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no policy 'pro'"):
        behavior_policy("pro", discrete=None)
    with pytest.raises(UsageError, match="has discrete actions"):
        behavior_policy(str(shipped_policy("expert", find_env(discrete=True))), discrete=False)
    assert issubclass(UsageError, LunarOfflineError)


def test_a_continuous_policy_runs_the_discrete_lander_through_thresholds() -> None:
    wanted = np.array(
        [[-0.5, 0.2], [0.1, 0.0], [-0.1, -0.9], [-0.1, 0.7], [0.9, 0.6], [0.1, -0.8]],
        dtype=np.float32,
    )
    actions = thresholded_act(lambda observations, rngs: wanted)(np.zeros((6, 8), np.float32), [])
    # nothing; main; left; right; main is stronger (0.95); side is stronger (0.8 against 0.55)
    assert actions.tolist() == [0, 2, 1, 3, 2, 1]
    policy = behavior_policy("thresholded:expert", discrete=None)
    assert policy.env is find_env(discrete=True)
    assert len(policy.sha256) == 64
