"""Training on a dataset of an env that the user names, from its first read to its evaluation."""

from pathlib import Path

import numpy as np
import pytest
from foreign_data import record, write_dataset
from pendulum import PENDULUM, pendulum_dataset

from lunar_offline.collection.collect import make_dataset
from lunar_offline.collection.recipe import Recipe, Source
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.envs.registry import named_env
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.evaluation.evaluate import evaluate_policies
from lunar_offline.policies.behavior import behavior_policy
from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.training.start_or_resume import finish, resume, start

CAR = "MountainCar-v0"
SMALL = {
    "pretrain_updates": 20,
    "online_episodes": 2,
    "warmup_steps": 10,
    "utd_ratio": 0.05,
    "batch_size": 16,
    "validate_every": 1,
    "validation_episodes": 1,
    "evaluation_episodes": 2,
    "agent": {"hidden": [8]},
}


@pytest.fixture
def pendulum() -> str:
    return pendulum_dataset()


def test_training_on_it(pendulum: str) -> None:
    config = resolve(
        discrete=None, file=dict(SMALL), options={"dataset": pendulum, "env": PENDULUM}
    )
    assert not config.discrete
    training = start(config, Path("run"))
    training.train()
    summary = finish(training.run)
    assert summary is not None
    assert summary.last.outcomes == {"terminated": 0, "truncated": 2}
    assert summary.last.frames == 200.0
    assert -2000.0 < summary.last.mean < 0.0
    assert summary.last.measure("crash_rate") is None
    online = training.batches.replay.records
    assert np.abs(online["actions"]).max() <= 1.0
    assert resume(Path("run")).episode == 2

    run = RunFolder.open(Path("run"))
    with pytest.raises(RefusedError, match=r"'Pendulum-v1', not CartPole-v1"):
        run.policies(env=named_env("CartPole-v1"))
    again = evaluate_policies(run.policies(), 2)
    assert again == summary


def test_it_is_not_taken_for_a_landers(pendulum: str) -> None:
    assert resolve(discrete=None, file={}, options={"dataset": pendulum}).env == PENDULUM
    with pytest.raises(UsageError, match="is a dataset of Pendulum-v1, not of CartPole-v1"):
        resolve(discrete=None, file={}, options={"dataset": pendulum, "env": "CartPole-v1"})
    with pytest.raises(UsageError, match="actions of Pendulum-v1 are continuous, not discrete"):
        resolve(discrete=True, file={}, options={"dataset": pendulum, "env": PENDULUM})
    with pytest.raises(UsageError, match="policy expert is for LunarLander-v3, not Pendulum-v1"):
        behavior_policy("expert", discrete=None, env=named_env(PENDULUM))
    with pytest.raises(UsageError, match="imports a module"):
        resolve(discrete=None, file={}, options={"dataset": pendulum, "env": "os:X-v0"})


def test_an_env_that_is_not_registered_is_named_once(tmp_path: Path, monkeypatch) -> None:
    """By the user: neither a dataset, a config, a run nor a policy names it instead."""
    write_dataset("car-x-v0", CAR, record(CAR, 3, 20))
    small = {**SMALL, "evaluation_episodes": 0, "validation_episodes": 0}
    for file in ({}, {"env": CAR}):
        with pytest.raises(RefusedError, match=f"name it once to use it: --env {CAR}"):
            resolve(discrete=None, file={**small, **file}, options={"dataset": "car-x-v0"})
    options = {"dataset": "car-x-v0", "env": CAR, "online_episodes": 1}
    start(resolve(discrete=None, file=dict(small), options=options), Path("run")).train()

    assert resume(Path("run")).episode == 1  # known from here on
    assert RunFolder.open(Path("run")).policies().best.env == named_env(CAR)
    assert resolve(discrete=None, file={}, options={"dataset": "car-x-v0"}).env == CAR

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "of somebody else"))
    for use in (lambda: resume(Path("run")), RunFolder.open(Path("run")).policies):
        with pytest.raises(RefusedError, match=f"name it once to use it: --env {CAR}"):
            use()


def test_settings_of_the_env_are_those_of_the_dataset_unless_the_user_gives_others() -> None:
    windy = {"enable_wind": True, "gravity": -8.0}
    recipe = Recipe("windy-v0", env_kwargs=windy, sources=(Source("random", 3),))
    make_dataset(recipe)
    assert read_dataset("windy-v0").env.settings == windy
    config = resolve(discrete=None, file=dict(SMALL), options={"dataset": "windy-v0"})
    assert config.env_kwargs == windy
    assert config.env_info().all_kwargs == windy
    calm = {"dataset": "windy-v0", "env_kwargs": {"enable_wind": False}}
    config = resolve(discrete=None, file=dict(SMALL), options=calm)
    assert config.env_kwargs == {"gravity": -8.0}

    training = start(config, Path("run"))
    assert training.notes == [
        "the dataset and the run have different settings of the env: "
        "enable_wind=true,gravity=-8.0, and gravity=-8.0"
    ]
    training.train()
    assert RunFolder.open(Path("run")).config() == config
    policies = RunFolder.open(Path("run")).policies()
    assert policies.best.env.settings == {"gravity": -8.0}
    elsewhere = policies.with_settings({"gravity": -10})
    assert elsewhere.best.env.settings == {}
    assert evaluate_policies(elsewhere, 2) != evaluate_policies(policies, 2)
    with pytest.raises(UsageError, match="gravity is a number between"):
        resolve(
            discrete=None, file={}, options={"dataset": "windy-v0", "env_kwargs": {"gravity": 1}}
        )
