import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from small_runs import begin, policy_bytes

from lunar_offline.envs.lander import OUTCOMES
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.training.metrics import EpisodeRecord, IntervalRecord, ValidationRecord
from lunar_offline.training.mixed_sampler import MixedSampler
from lunar_offline.training.start_or_resume import finish, resume


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
    records = training.run.metrics()
    episodes = [record for record in records if isinstance(record, EpisodeRecord)]
    assert [record.episode for record in episodes] == [0, 1, 2]
    assert set(episodes[0].to_dict()) == set(
        "kind episode env_step update_step episode_return length outcome".split()
    )
    assert {record.outcome for record in episodes} <= set(OUTCOMES)
    steps = sum(record.length for record in episodes)
    assert episodes[-1].env_step == steps
    assert episodes[-1].update_step == 20 + int(steps * 0.25) - int(50 * 0.25)
    # the first validation comes before the first online episode
    validations = [record for record in records if isinstance(record, ValidationRecord)]
    assert [(record.env_step, record.episode) for record in validations[:1]] == [(0, 0)]
    assert records.index(validations[0]) < records.index(episodes[0])
    crash_rates = [record.crash_rate for record in validations]
    assert all(rate is not None and 0.0 <= rate <= 1.0 for rate in crash_rates)
    evaluation = json.loads((out / "evaluation.json").read_text())
    assert list(evaluation) == ["last", "best"]
    for key in (
        "mean iqm sd crash_rate success_rate fuel frames regret_to_bound returns seeds"
    ).split():
        assert key in evaluation["last"]
        assert key in evaluation["best"]


@pytest.mark.parametrize("discrete", [True, False])
def test_online_sac_needs_no_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, discrete: bool
) -> None:
    monkeypatch.setattr(
        "lunar_offline.training.start_or_resume.read_folder", lambda *_: pytest.fail("dataset read")
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


@pytest.mark.parametrize("updates", [5, 25])
def test_a_short_run_at_rho_1_has_metrics(
    random_dataset: str, tmp_path: Path, updates: int
) -> None:
    options = {"rho": 1.0, "updates": updates, "evaluation_episodes": 0}
    training = begin(tmp_path / "run", dataset=random_dataset, **options)
    training.train()
    (record,) = training.run.metrics()
    assert isinstance(record, IntervalRecord)
    assert record.update_step == updates
    assert "td_loss" in record.metrics
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    resume(tmp_path / "run").train()  # at its end: there is nothing more to log
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


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


def test_an_existing_run_directory_is_refused(random_dataset: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(RefusedError, match="already exists"):
        begin(tmp_path / "run", dataset=random_dataset)


def test_buffer_mode_needs_enough_episodes(random_dataset: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs 27 offline episodes; lunar-random-v0 has 12"):
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
