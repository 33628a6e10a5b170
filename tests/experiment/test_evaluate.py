import numpy as np
import pytest

from lunar_offline.envs import DISCRETE
from lunar_offline.errors import UsageError
from lunar_offline.experiment.behavior import behavior_policy, random_act
from lunar_offline.experiment.evaluate import (
    fly,
    summarise,
    window_means,
)
from lunar_offline.experiment.figures import evaluation_figure, training_figure
from lunar_offline.experiment.launch import evaluate_run
from lunar_offline.experiment.policy_file import save_policy
from lunar_offline.learn.policies import ActionSpec, make_policy
from lunar_offline.seeding import Purpose, generator
from lunar_offline.transitions import Episode


def test_windows_by_hand() -> None:
    assert window_means(np.array([1.0, 2.0, 3.0, 6.0]), 2).tolist() == [1.5, 2.5, 4.5]
    assert window_means(np.array([1.0, 3.0]), 100).tolist() == [2.0]


def episode(rewards: list[float], *, terminated: bool) -> Episode:
    n = len(rewards)
    flags = np.zeros((2, n), dtype=bool)
    flags[0 if terminated else 1, -1] = True
    observations = np.zeros((n + 1, 8), dtype=np.float32)
    observations[0, 1] = 1.4  # shaping -140, bound 260
    return Episode(observations, np.full(n, 2), np.array(rewards), flags[0], flags[1], seed=n)


def test_a_summary_by_hand() -> None:
    episodes = [
        episode([120.0, 100.0], terminated=True),
        episode([10.0, -100.0], terminated=True),
        episode([5.0], terminated=False),
    ]
    s = summarise(episodes, DISCRETE)
    assert s["returns"] == [220.0, -90.0, 5.0]
    assert s["mean"] == pytest.approx(45.0)
    assert s["outcomes"] == {"landed": 1, "crashed": 1, "truncated": 1}
    assert s["crash_rate"] == pytest.approx(1 / 3)
    assert s["success_rate"] == pytest.approx(1 / 3)
    assert s["fuel"] == pytest.approx(0.3 * 5 / 3)
    assert s["frames"] == pytest.approx(5 / 3)
    assert s["regret_to_bound"] == pytest.approx(260.0 - 45.0, abs=1e-4)
    assert s["seeds"] == [2, 2, 1]


def test_held_out_seeds_are_fixed_and_apart_from_validation() -> None:
    act = random_act(DISCRETE)
    held_out = [e.seed for e in fly(DISCRETE, act, 3)]
    assert held_out == [e.seed for e in fly(DISCRETE, act, 4)][:3]
    assert not set(held_out) & {e.seed for e in fly(DISCRETE, act, 3, stream="validation")}


def test_figures_are_pictures(tmp_path) -> None:
    evaluation_figure([200.0, 250.0, -20.0] * 50, tmp_path / "e.png")
    training_figure([], tmp_path / "empty.png", title="nothing")
    lines = [
        {"episode": 0, "episode_return": -100.0},
        {"episode": 1, "episode_return": 50.0},
        {"episode": 2, "validation_mean": 80.0},
    ]
    training_figure(lines, tmp_path / "t.png", title="run")
    for name in ("e.png", "empty.png", "t.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_run_is_judged_by_both_its_policies(tmp_path) -> None:
    for name, seed in (("policy", 0), ("last", 1)):
        policy = make_policy(ActionSpec(True, 4), 8, (8,), generator(seed, Purpose.INITIALISATION))
        save_policy(tmp_path / f"{name}.safetensors", policy, DISCRETE, (8,), {})
    summary = evaluate_run(tmp_path, 3, stochastic=True)
    assert len(summary["returns"]) == 3
    assert summary["last"]["episodes"] == 3
    assert summary["last"]["mean"] != summary["mean"]
    (tmp_path / "last.safetensors").unlink()  # a run that has not finished
    assert "last" not in evaluate_run(tmp_path, 3)
    with pytest.raises(UsageError, match="discrete"):
        evaluate_run(tmp_path, 3, discrete=False)


@pytest.mark.parametrize("discrete", [True, False])
def test_the_parts_of_the_regret_add_up(*, discrete: bool) -> None:
    expert = behavior_policy("expert", discrete=discrete, stochastic=False)
    summary = summarise(fly(expert.env, expert.act, 6), expert.env)
    parts = summary["regret_parts"]
    assert sum(parts.values()) == pytest.approx(summary["regret_to_bound"], abs=1e-3)
    assert parts["main_engine"] > parts["at_rest"] > 0.0
    crashing = summarise(fly(DISCRETE, random_act(DISCRETE), 3), DISCRETE)
    assert crashing["regret_parts"]["not_landed"] == pytest.approx(crashing["regret_to_bound"])
