import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from sb3_models import train

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.policies.behavior import behavior_policy
from lunar_offline.policies.policy import load_policy


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gsde", "it explores with gSDE"),
        ("softplus", "its activation is <class 'torch.nn.modules.activation.Softplus'>"),
    ],
)
def test_a_policy_that_is_pickled_must_be_trusted(name: str, reason: str) -> None:
    model = train(name, Path())
    env = "Pendulum-v1" if name == "gsde" else None
    with pytest.raises(RefusedError) as raised:
        load_policy(f"{name}.zip", env=env)
    assert str(raised.value) == (
        f"{name}.zip: not a plain MlpPolicy ({reason}); loading it runs the pickled code in it: "
        "add --trust if you trust its origin"
    )
    policy = load_policy(f"{name}.zip", env=env, trust=True)
    observations = np.linspace(-1, 1, 6 * policy.env.observation_size, dtype=np.float32)
    observations = observations.reshape(6, -1)
    theirs, _ = model.predict(observations, deterministic=True)
    assert np.allclose(policy.predict(observations), theirs, atol=1e-6)
    assert not policy.metadata.samples
    act = policy.behavior_policy(stochastic=True).act
    padded = np.zeros((16, policy.env.observation_size), dtype=np.float32)
    there = pickle.loads(pickle.dumps(act))
    assert np.array_equal(there(padded, []), act(padded, []))


def test_a_dataset_of_a_trusted_policy() -> None:
    train("softplus", Path())
    collected = collect_dataset("x-v0", policy="softplus.zip", episodes=2, trust=True)
    card = (collected.path / "README.md").read_text()
    assert "2 of the softplus.zip policy (sb3/PPO, deterministic actions)" in card


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    train("softplus", Path())
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(UsageError) as raised:
        behavior_policy("softplus.zip", discrete=None, trust=True)
    assert str(raised.value) == (
        "softplus.zip: this policy needs an extra: pip install 'lunar-offline[sb3]' "
        "-c constraints.txt"
    )
