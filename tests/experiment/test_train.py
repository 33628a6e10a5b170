import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from lunar_offline.data.mixing import MixedSampler
from lunar_offline.data.reader import read_dataset
from lunar_offline.envs import shaping
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.config import TrainConfig
from lunar_offline.experiment.feed import learned_rewards
from lunar_offline.experiment.launch import evaluate_run, finish, resolve, resume, start
from lunar_offline.experiment.train import Training
from lunar_offline.transitions import Transitions

SMALL = {
    "pretrain_updates": 20,
    "updates": 30,
    "online_episodes": 3,
    "warmup_steps": 50,
    "validate_every": 2,
    "validation_episodes": 2,
    "evaluation_episodes": 3,
    "batch_size": 32,
    "utd_ratio": 0.25,
    "agent": {"hidden": [16, 16]},
}


def begin(out: Path, **options) -> Training:
    config = resolve(
        discrete=options.pop("discrete", None), file=SMALL, options={"rho": 0.6} | options
    )
    return start(config, out)


def policy_bytes(out: Path) -> list[bytes]:
    return [(out / name).read_bytes() for name in ("policy.safetensors", "last.safetensors")]


def test_a_mixed_run_leaves_its_record(random_dataset: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    training = begin(out, dataset=random_dataset)
    training.train()
    summary = finish(training.run)
    assert summary is not None
    for name in (
        "config.toml provenance.json metrics.jsonl policy.safetensors evaluation.json "
        "evaluation.png training.png"
    ).split():
        assert (out / name).stat().st_size > 0, name
    assert any((out / "tensorboard").iterdir())
    assert len(list((out / "checkpoints").iterdir())) <= 3
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["dataset"]["id"] == random_dataset
    assert len(provenance["dataset"]["sha256"]) == 64
    lines = training.run.metrics()
    episodes = [line for line in lines if "episode_return" in line]
    assert [line["episode"] for line in episodes] == [0, 1, 2]
    assert set(episodes[0]) == set(
        "episode env_step update_step episode_return length outcome".split()
    )
    steps = sum(line["length"] for line in episodes)
    assert episodes[-1]["env_step"] == steps
    assert episodes[-1]["update_step"] == 20 + int(steps * 0.25) - int(50 * 0.25)
    # the first validation stands before the first online episode
    assert next(line for line in lines if "validation_mean" in line)["env_step"] == 0
    evaluation = json.loads((out / "evaluation.json").read_text())
    for key in (
        "mean iqm sd min_window_100 crash_rate success_rate fuel frames regret_to_bound returns "
        "seeds last"
    ).split():
        assert key in evaluation


@pytest.mark.parametrize("discrete", [True, False])
def test_online_sac_needs_no_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, discrete: bool
) -> None:
    monkeypatch.setattr(
        "lunar_offline.experiment.launch.read_dataset", lambda _: pytest.fail("dataset read")
    )
    training = begin(
        tmp_path / "run", rho=0.0, discrete=discrete, pretrain_updates=0, random_steps=20
    )
    training.train()
    assert training.env_step > 50
    assert training.learner.update_step > 0


def test_rho_1_makes_no_env(
    random_dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gym, "make", lambda *_, **__: pytest.fail("env made"))
    training = begin(tmp_path / "run", dataset=random_dataset, rho=1.0, evaluation_episodes=0)
    training.train()
    assert finish(training.run) is None
    assert training.learner.update_step == 30
    assert training.env_step == 0


@pytest.mark.parametrize("utd_ratio", [1.0, 3.0])
def test_rho_holds_in_every_updates_batch(
    random_dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, utd_ratio: float
) -> None:
    shares: list[int] = []
    sample = MixedSampler.sample

    def spy(self: MixedSampler, rng: np.random.Generator):
        batch = sample(self, rng)
        shares.append(batch.n_offline)
        return batch

    monkeypatch.setattr(MixedSampler, "sample", spy)
    training = begin(
        tmp_path / "run",
        dataset=random_dataset,
        rho=0.25,
        utd_ratio=utd_ratio,
        online_episodes=1,
        pretrain_updates=4,
    )
    training.train()
    assert shares[:4] == [32] * 4
    assert len(shares) == training.learner.update_step > 20
    assert set(shares[4:]) == {8}


def test_the_same_seed_gives_the_same_bytes(random_dataset: str, tmp_path: Path) -> None:
    results = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        begin(tmp_path / name, dataset=random_dataset, seed=seed).train()
        results.append(policy_bytes(tmp_path / name))
    assert results[0] == results[1]
    assert results[0] != results[2]


@pytest.mark.parametrize("stop_after", ["pretraining", "episode"])
@pytest.mark.parametrize("rho_mode", ["batch", "buffer"])
def test_a_resumed_run_gives_the_same_bytes(
    random_dataset: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: str,
    rho_mode: str,
) -> None:
    options = {"dataset": random_dataset, "rho_mode": rho_mode, "online_episodes": 4}
    begin(tmp_path / "whole", **options).train()

    class Stop(Exception):
        pass

    broken = begin(tmp_path / "broken", **options)
    fly = Training._fly_episode

    def stop(self: Training, env: gym.Env):
        if self.episode == (0 if stop_after == "pretraining" else 3):
            self._update(online=False)  # work that no checkpoint has
            raise Stop
        return fly(self, env)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_fly_episode", stop)
        with pytest.raises(Stop):
            broken.train()
    resume(tmp_path / "broken").train()
    assert policy_bytes(tmp_path / "broken") == policy_bytes(tmp_path / "whole")
    plain = [
        [{k: v for k, v in line.items() if k != "updates_per_s"} for line in run.metrics()]
        for run in (broken.run, begin_run(tmp_path / "whole"))
    ]
    assert plain[0] == plain[1]


def begin_run(path: Path):
    from lunar_offline.experiment.run_dir import RunDir

    return RunDir.open(path)


def test_a_damaged_checkpoint_falls_back_and_says_so(random_dataset: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    training = begin(out, dataset=random_dataset)
    training.train()
    whole = policy_bytes(out)
    newest = max((out / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:100])
    again = resume(out)
    (note,) = again.notes
    assert note == (
        f"{newest}: not a safetensors file, or cut short in its header; going on from the "
        "checkpoint before"
    )
    again.train()
    assert policy_bytes(out) == whole
    for checkpoint in (out / "checkpoints").iterdir():
        checkpoint.write_bytes(b"")
    with pytest.raises(RefusedError, match="no checkpoint can be read"):
        resume(out)


def test_a_run_refuses_another_dataset(random_dataset: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    begin(out, dataset=random_dataset).train()
    path = out / "provenance.json"
    provenance = json.loads(path.read_text())
    provenance["dataset"]["sha256"] = "0" * 64
    path.write_text(json.dumps(provenance))
    with pytest.raises(RefusedError, match="is not the one the run began with"):
        resume(out)


def test_an_existing_run_directory_is_refused(random_dataset: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(RefusedError, match="exists already"):
        begin(tmp_path / "run", dataset=random_dataset)


def test_buffer_mode_needs_enough_episodes(random_dataset: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs 27 offline ones; lunar-random-v0 has 12"):
        begin(tmp_path / "run", dataset=random_dataset, rho=0.9, rho_mode="buffer")
    assert not (tmp_path / "run").exists()


def test_the_other_action_space_is_refused(random_dataset: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="discrete, not continuous"):
        begin(tmp_path / "run", dataset=random_dataset, discrete=False)


def test_a_stop_return_stops(random_dataset: str, tmp_path: Path) -> None:
    training = begin(tmp_path / "run", dataset=random_dataset, stop_return=-2000.0)
    training.train()
    assert training.episode == 0
    assert training.stopped_early


@pytest.mark.parametrize("rho", [0.6, 1.0])
@pytest.mark.parametrize(
    ("algorithm", "agent"),
    [
        ("balanced", {}),
        ("bc", {}),
        ("cql-qr", {"layer_norm": False}),
        ("cql-sac", {"calibrated": True}),
        ("cql-sac", {"lagrange": True, "n_critics": 3, "target_subset": 2, "policy_tau": 0.1}),
    ],
)
def test_every_algorithm_trains_resumes_and_saves_its_policy(
    random_dataset: str, tmp_path: Path, algorithm: str, agent: dict, rho: float
) -> None:
    balanced = algorithm == "balanced"
    if balanced and rho == 1.0:
        return
    options = {
        "dataset": random_dataset,
        "rho": rho,
        "algorithm": "cql-sac" if balanced else algorithm,
        "balanced": balanced,
        "penalised_rows": "all" if "calibrated" in agent else "offline",
        "agent": {"hidden": [16, 16]} | agent,
    }
    begin(tmp_path / "run", **options).train()
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    newest.unlink()
    before = policy_bytes(tmp_path / "run")
    resume(tmp_path / "run").train()
    assert policy_bytes(tmp_path / "run") == before
    summary = evaluate_run(tmp_path / "run", 2)
    assert np.isfinite(summary["mean"])


def test_calibration_meets_the_datas_own_returns(random_dataset: str, tmp_path: Path) -> None:
    training = begin(
        tmp_path / "run", dataset=random_dataset, agent={"calibrated": True, "discount": 0.9}
    )
    rows = read_dataset(random_dataset).transitions
    returns = {o.tobytes(): r for o, r in zip(rows.observations, rows.returns(0.9), strict=True)}
    batch = training.feed.batch(0, online=False)
    assert batch.returns is not None
    expected = [returns[o.numpy().tobytes()] for o in batch.observations]
    assert batch.returns.tolist() == pytest.approx(expected, rel=1e-5)


def test_invariant_shaping_is_in_rewards_and_returns_alike(
    random_dataset: str, tmp_path: Path
) -> None:
    training = begin(
        tmp_path / "run",
        dataset=random_dataset,
        agent={"calibrated": True, "discount": 0.9},
        invariant_shaping=True,
    )
    expected: dict[bytes, tuple[float, float]] = {}
    rows = read_dataset(random_dataset).transitions
    total = 0.0
    for row in reversed(range(len(rows))):
        ends = bool(rows.terminations[row])
        excess = 0.0 if ends else 0.1 * float(shaping(rows.next_observations[row]))
        reward = float(rows.rewards[row]) - excess
        total = reward + (0.0 if ends else 0.9 * total)
        expected[rows.observations[row].tobytes()] = (reward, total)
    batch = training.feed.batch(0, online=False)
    assert batch.returns is not None
    rewards, returns = zip(
        *(expected[o.numpy().tobytes()] for o in batch.observations), strict=True
    )
    assert batch.rewards.tolist() == pytest.approx(rewards, rel=1e-5, abs=1e-4)
    assert batch.returns.tolist() == pytest.approx(returns, rel=1e-5, abs=1e-4)


def test_other_envs_keep_their_rewards() -> None:
    config = TrainConfig(
        rho=0.0, pretrain_updates=0, env="Pendulum-v1", discrete=False, invariant_shaping=True
    )
    env = config.env_info()
    rows = Transitions(np.ones(3, env.transition_dtype()))
    assert learned_rewards(config, env, rows).tolist() == [1.0, 1.0, 1.0]
