from pathlib import Path

import numpy as np
import pytest

from lunar_offline.agents.nn.action_spec import ActionSpec
from lunar_offline.agents.nn.policies import make_policy
from lunar_offline.envs.lander import DISCRETE
from lunar_offline.envs.registry import find_env
from lunar_offline.errors import UsageError
from lunar_offline.evaluation import figures
from lunar_offline.evaluation.evaluate import evaluate_policies, evaluate_policy
from lunar_offline.evaluation.evaluation_file import (
    Evaluations,
    read_evaluation,
    write_evaluation_file,
)
from lunar_offline.evaluation.figures import evaluation_figure, training_figure
from lunar_offline.evaluation.held_out_seeds import held_out_episodes
from lunar_offline.evaluation.summary import summarize, window_means
from lunar_offline.policies.acting import random_act
from lunar_offline.policies.behavior import behavior_policy, check_policy_space
from lunar_offline.policies.policy_file import save_policy
from lunar_offline.seeding import Purpose, generator
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.transitions import Episode


def test_windows_by_hand() -> None:
    assert window_means(np.array([1.0, 2.0, 3.0, 6.0]), 2).tolist() == [1.5, 2.5, 4.5]
    assert window_means(np.array([1.0, 3.0]), 100).tolist() == []


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
    found = summarize(episodes, DISCRETE)
    s = found.to_dict()
    assert s["returns"] == [220.0, -90.0, 5.0]
    assert s["mean"] == pytest.approx(45.0)
    assert s["outcomes"] == {"landed": 1, "crashed": 1, "truncated": 1}
    assert s["crash_rate"] == pytest.approx(1 / 3)
    assert s["success_rate"] == pytest.approx(1 / 3)
    assert s["fuel"] == pytest.approx(0.3 * 5 / 3)
    assert s["frames"] == pytest.approx(5 / 3)
    assert s["regret_to_bound"] == pytest.approx(260.0 - 45.0, abs=1e-4)
    assert s["seeds"] == [2, 2, 1]
    assert "min_window_100" not in s  # these are not 100 episodes
    windows = summarize([*episodes, *[episodes[0]] * 98], DISCRETE).min_window_100
    assert windows == pytest.approx((220.0 - 90.0 + 5.0 + 97 * 220.0) / 100)
    assert found.measure("crash_rate") == s["crash_rate"]
    assert found.measure("min_window_100") is None


def test_an_evaluation_is_read_as_it_was_written() -> None:
    policies = {}
    for name, discrete in (("last", True), ("best", False)):
        env = find_env(discrete=discrete)
        policies[name] = summarize(held_out_episodes(env, random_act(env), 101), env)
    written = Evaluations(**policies)
    write_evaluation_file(Path("evaluation.json"), written)
    found = read_evaluation(Path("evaluation.json"))
    assert found.to_dict() == written.to_dict()
    assert found.headline.min_window_100 == policies["last"].min_window_100
    assert Evaluations(policy=policies["best"]).headline is policies["best"]


def test_held_out_seeds_are_fixed_and_apart_from_validation() -> None:
    act = random_act(DISCRETE)
    held_out = [e.seed for e in held_out_episodes(DISCRETE, act, 3)]
    assert held_out == [e.seed for e in held_out_episodes(DISCRETE, act, 4)][:3]
    validation = held_out_episodes(DISCRETE, act, 3, stream="validation")
    assert not set(held_out) & {e.seed for e in validation}


def test_figures_are_pictures(tmp_path) -> None:
    evaluation_figure([200.0, 250.0, -20.0] * 50, tmp_path / "e.png", solved_return=200.0)
    training_figure([], [], tmp_path / "empty.png", title="nothing")
    assert not (tmp_path / "empty.png").exists()
    episodes, validations = [(0, -100.0), (1, 50.0)], [(2, 80.0)]
    training_figure(episodes, validations, tmp_path / "t.png", title="run")
    for name in ("e.png", "t.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


EPISODE, MEAN, SOLVED = "episode return", "mean of 100 episodes (worst 150.0)", "solved: 200"


@pytest.mark.parametrize(
    ("returns", "solved", "named"),
    [
        ([100.0, 200.0] * 50, 200.0, [EPISODE, MEAN, SOLVED]),
        ([100.0, 200.0] * 50, None, [EPISODE, MEAN]),
        ([100.0, 200.0] * 50, 475.0, [EPISODE, MEAN]),
        ([100.0, 250.0], 200.0, [EPISODE, SOLVED]),
        ([-100.0, -20.0], 200.0, [EPISODE]),
    ],
)
def test_a_legend_names_what_is_drawn(returns, solved, named, monkeypatch, tmp_path) -> None:
    drawn: list[str] = []

    def keep(figure, path) -> None:
        (axes,) = figure.axes
        drawn.extend(text.get_text() for text in axes.get_legend().get_texts())

    monkeypatch.setattr(figures, "_save", keep)
    evaluation_figure(returns, tmp_path / "e.png", solved_return=solved)
    assert drawn == named


def test_a_run_is_judged_by_both_its_policies(tmp_path) -> None:
    for name, seed in (("policy", 0), ("last", 1)):
        policy = make_policy(ActionSpec(True, 4), 8, (8,), generator(seed, Purpose.INITIALIZATION))
        save_policy(tmp_path / f"{name}.safetensors", policy, DISCRETE, (8,), {})
    summary = evaluate_policies(RunFolder(tmp_path).policies(stochastic=True), 3)
    assert len(summary.best.returns) == 3
    assert summary.last.episodes == 3
    assert summary.last.mean != summary.best.mean
    (tmp_path / "last.safetensors").unlink()  # a run that has not finished
    policies = RunFolder(tmp_path).policies()
    assert policies.last is None
    assert evaluate_policies(policies, 3).last is None
    with pytest.raises(UsageError, match="discrete"):
        check_policy_space(policies.best, "run", False)
    with pytest.raises(UsageError, match="--episodes 0: at least one"):
        evaluate_policy(policies.best, 0)


@pytest.mark.parametrize("discrete", [True, False])
def test_the_parts_of_the_regret_add_up(*, discrete: bool) -> None:
    expert = behavior_policy("expert", discrete=discrete, stochastic=False)
    summary = summarize(held_out_episodes(expert.env, expert.act, 6), expert.env)
    parts = summary.to_dict()["regret_parts"]
    assert sum(parts.values()) == pytest.approx(summary.measures["regret_to_bound"], abs=1e-3)
    assert parts["main_engine"] > parts["at_rest"] > 0.0
    crashing = summarize(held_out_episodes(DISCRETE, random_act(DISCRETE), 3), DISCRETE)
    crashing = crashing.to_dict()
    assert crashing["regret_parts"]["not_landed"] == pytest.approx(crashing["regret_to_bound"])
