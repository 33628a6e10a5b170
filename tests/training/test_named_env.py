"""Training on a dataset of an env that the user names, from its first read to its evaluation."""

from pathlib import Path

import numpy as np
import pytest
from pendulum import PENDULUM, pendulum_dataset

from lunar_offline.envs.registry import named_env
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.evaluation.evaluate import evaluate_policies
from lunar_offline.policies.behavior import behavior_policy
from lunar_offline.training.resolve_config import resolve
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.training.start_or_resume import finish, resume, start

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
    assert summary["outcomes"] == {"terminated": 0, "truncated": 2}
    assert summary["frames"] == 200.0
    assert -2000.0 < summary["mean"] < 0.0
    assert "crash_rate" not in summary
    online = training.batches.replay.records
    assert np.abs(online["actions"]).max() <= 1.0
    assert resume(Path("run")).episode == 2

    # the policy's file is no reason to make an env: the user names it
    run = RunFolder.open(Path("run"))
    with pytest.raises(RefusedError, match="a policy for Pendulum-v1, not LunarLander-v3; name it"):
        run.policies()
    with pytest.raises(RefusedError, match=r"a policy for Pendulum-v1, not CartPole-v1"):
        run.policies(env=named_env("CartPole-v1"))
    again = evaluate_policies(run.policies(env=named_env(PENDULUM)), 2)
    assert again["returns"] == summary["returns"]
    assert again["last"] == summary["last"]


def test_it_is_not_taken_for_a_landers(pendulum: str) -> None:
    with pytest.raises(RefusedError, match="name it with --env"):
        resolve(discrete=None, file={}, options={"dataset": pendulum})
    with pytest.raises(UsageError, match="actions of Pendulum-v1 are continuous, not discrete"):
        resolve(discrete=True, file={}, options={"dataset": pendulum, "env": PENDULUM})
    with pytest.raises(UsageError, match="policy expert is for LunarLander-v3, not Pendulum-v1"):
        behavior_policy("expert", discrete=None, env=named_env(PENDULUM))
    with pytest.raises(UsageError, match="imports a module"):
        resolve(discrete=None, file={}, options={"dataset": pendulum, "env": "os:X-v0"})
