"""Zips of Stable-Baselines3: real models, trained here, and hostile ones."""

import hashlib
import io
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sb3_models import MODELS, changed, data_with, train, weights_with

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.envs.registry import find_env
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.evaluation.evaluate import evaluate_policy
from lunar_offline.policies.behavior import behavior_policy
from lunar_offline.policies.policy import load_policy
from lunar_offline.seeding import Purpose, generator


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with a zip of each of MODELS, and the models."""
    folder = tmp_path_factory.mktemp("sb3")
    return folder, {name: train(name, folder) for name in MODELS}


Models = tuple[Path, dict[str, Any]]


def env_of(name: str) -> str | None:
    env_id = MODELS[name][1]
    return None if env_id == "LunarLander-v3" else env_id


@pytest.mark.parametrize("name", MODELS)
def test_it_acts_as_stable_baselines3_does(name: str, models: Models) -> None:
    folder, trained = models
    policy = load_policy(folder / f"{name}.zip", env=env_of(name))
    rng = generator(1, Purpose.BATCH)
    shape = (200, policy.env.observation_size)
    observations = rng.standard_normal(shape, dtype=np.float32)
    theirs, _ = trained[name].predict(observations, deterministic=True)
    ours = policy.predict(observations)
    assert ours.shape == theirs.shape
    if policy.env.discrete:
        assert np.array_equal(ours, theirs)
        assert len(set(theirs.tolist())) > 1
    else:
        assert np.allclose(ours, theirs, atol=2e-6)
        assert theirs.std() > 0.003
    assert policy.metadata.algorithm == f"sb3/{MODELS[name][0]}"
    assert policy.metadata.name == f"{name}.zip"


@pytest.mark.parametrize("name", ["ppo", "ppo-continuous", "a2c", "sac"])
def test_its_samples_have_their_distribution(name: str, models: Models) -> None:
    folder, trained = models
    policy = load_policy(folder / f"{name}.zip", env=env_of(name))
    one = generator(2, Purpose.BATCH).standard_normal((1, policy.env.observation_size))
    many = np.repeat(one.astype(np.float32), 4000, axis=0)
    ours = policy.predict(many, deterministic=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs, _ = trained[name].predict(many, deterministic=False)
    if policy.env.discrete:
        n = policy.env.action_size
        ours, theirs = np.eye(n)[ours], np.eye(n)[theirs]
    error = 4.0 * theirs.std(0) * np.sqrt(2 / 4000)  # four standard errors of a difference
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < error).all()
    assert np.allclose(ours.std(0), theirs.std(0), rtol=0.1)


def test_a_dataset_of_a_ppo_and_its_evaluation(models: Models) -> None:
    path = models[0] / "ppo.zip"
    collected = collect_dataset("ppo-v0", policy=path, episodes=6)
    metadata = read_dataset("ppo-v0").metadata
    (source,) = metadata["lunar_offline"]["recipe"]["sources"]
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert source == {"policy": "ppo.zip", "policy_sha256": sha256, "episodes": 6}
    assert metadata["algorithm_name"] == "sb3/PPO"
    assert "(sb3/PPO, actions sampled)" in (collected.path / "README.md").read_text()
    policy = behavior_policy(str(path), discrete=None, stochastic=False)
    model = models[1]["ppo"]
    returns = evaluate_policy(policy, 3).returns
    assert returns == pytest.approx([return_of(model, seed) for seed in held_out_seeds(3)])


def held_out_seeds(n: int) -> list[int]:
    from lunar_offline.seeding import episode_seed

    return [episode_seed(0, Purpose.EVALUATION_EPISODE, index) for index in range(n)]


def return_of(model: Any, seed: int) -> float:
    env = find_env(discrete=True).make()
    observation, _ = env.reset(seed=seed)
    total, ended = 0.0, False
    while not ended:
        action, _ = model.predict(observation, deterministic=True)
        observation, reward, terminated, truncated, _ = env.step(action)
        total, ended = total + float(reward), terminated or truncated
    env.close()
    return total


def test_no_module_of_stable_baselines3_is_needed(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    monkeypatch.setattr(pickle, "Unpickler", None)
    assert behavior_policy(str(models[0] / "ppo.zip"), discrete=None).algorithm == "sb3/PPO"


def test_a_row_does_not_depend_on_its_place(models: Models) -> None:
    for name in ("ppo", "ppo-continuous"):
        act = behavior_policy(str(models[0] / f"{name}.zip"), discrete=None, stochastic=False).act
        observations = generator(3, Purpose.BATCH).standard_normal((16, 8), np.float32)
        expected = act(observations, [])
        there = pickle.loads(pickle.dumps(act))  # as for another process
        assert np.array_equal(there(observations, []), expected)
        for shift in range(16):
            rolled = act(np.roll(observations, shift, axis=0), [])
            assert np.array_equal(rolled, np.roll(expected, shift, axis=0))


def test_it_is_for_an_env_with_its_spaces(models: Models) -> None:
    folder, _ = models
    with pytest.raises(
        UsageError, match=r"a2c.zip: has 4 observations and 2 discrete actions, Lun"
    ):
        load_policy(folder / "a2c.zip")
    with pytest.raises(UsageError, match="3 observations and 1 continuous actions, CartPole-v1"):
        load_policy(folder / "sac.zip", env="CartPole-v1")
    with pytest.raises(UsageError, match="name the policy's env with --env"):
        load_policy(folder / "ppo.zip", discrete=False)
    continuous = load_policy(folder / "ppo-continuous.zip", env="LunarLander-v3")
    assert continuous.env is find_env(discrete=False)
    windy = find_env(settings={"enable_wind": True})
    policy = behavior_policy(str(folder / "ppo-continuous.zip"), discrete=None, env=windy)
    assert policy.env == find_env(discrete=False, settings={"enable_wind": True})
    wide = {":type:": "Box", "low": "[-3.]", "high": "[3.]"}
    other = changed(folder / "sac.zip", folder / "wide.zip", data_with(action_space=wide))
    with pytest.raises(UsageError, match=r"low bounds \[-3.0\], those of Pendulum-v1 are \[-2.0\]"):
        load_policy(other, env="Pendulum-v1")


Change = Callable[[dict[str, bytes]], object]


class Code:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("ran"),)


def put(name: str, content: bytes) -> Change:
    return lambda members: members.update({name: content})


def saved(value: object) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


def compressed(members: dict[str, bytes]) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 24))
    members["policy.pth"] = inner.getvalue()


HOSTILE: dict[str, tuple[Change, str]] = {
    "a bomb in data": (put("data", bytes(1 << 25)), "its data has 33,554,432 bytes; at most"),
    "a bomb of weights": (put("policy.pth", bytes(1 << 27)), "its policy.pth has 134,217,728 by"),
    "an inner bomb": (compressed, "its policy.pth is compressed"),
    "no data": (lambda members: members.pop("data"), "not a zip of Stable-Baselines3: it has no d"),
    "no weights": (lambda members: members.pop("policy.pth"), "it has no policy.pth"),
    "no JSON": (put("data", b"{"), "Expecting property name"),
    "a list": (put("data", b"[]"), "its data are not a JSON object"),
    "deep JSON": (put("data", b"[" * 100_000), "nested too deep"),
    "unknown": (put("data", b"{}"), "its algorithm is unknown"),
    "no weights file": (put("policy.pth", b"junk"), "policy.pth is not a file of torch.save"),
    "pickled code": (put("policy.pth", saved(Code())), "its policy.pth cannot be loaded"),
    "no tensors": (put("policy.pth", saved([1])), "is not a table of tensors"),
    "NaN": (weights_with(lambda w: w["action_net.bias"].fill_(np.nan)), "is not finite"),
    "float64": (
        weights_with(lambda w: w.update({"action_net.bias": torch.zeros(4).double()})),
        "has 'action_net.bias', which is no float32 tensor",
    ),
    "a stride of 0": (
        weights_with(lambda w: w.update({"action_net.bias": torch.zeros(1).expand(10**12)})),
        "has 'action_net.bias', which is no float32 tensor",
    ),
    "sb3_contrib": (
        data_with(policy_class={"__module__": "sb3_contrib.tqc.policies"}),
        "a policy of sb3_contrib; call it in a function: --policy module:function",
    ),
    "a class of the user's": (
        data_with(policy_class={"__module__": "mine"}),
        "not a plain MlpPolicy (its policy class is of the module 'mine')",
    ),
    "an extractor": (
        data_with(policy_kwargs={"features_extractor_class": "<class 'mine.Extractor'>"}),
        "its features_extractor_class is <class 'mine.Extractor'>",
    ),
    "another layer": (
        weights_with(lambda w: w.update({"features_extractor.0.weight": torch.zeros(3)})),
        "(it has 'features_extractor.0.weight')",
    ),
    "no head": (weights_with(lambda w: w.pop("action_net.bias")), "no linear layer action_net"),
    "a wide layer": (
        weights_with(lambda w: w.update({"action_net.weight": torch.zeros(4, 5)})),
        "the widths of its layers do not match",
    ),
    "a cube": (
        weights_with(lambda w: w.update({"action_net.weight": torch.zeros(4, 64, 1)})),
        "a layer is not linear",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_zip_is_refused_in_one_line(case: str, models: Models) -> None:
    change, reason = HOSTILE[case]
    path = changed(models[0] / "ppo.zip", Path("x.zip"), change)
    with pytest.raises(RefusedError) as raised:
        behavior_policy("x.zip", discrete=None)
    assert str(raised.value).startswith("x.zip: ")
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)
    assert path.exists()
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a zip file"),
        (b"junk" * 100, "not a zip file"),
        (b"PK\x05\x06" + bytes(18), "it has no data"),
        (b"PK\x05\x06" + b"\xff" * 18, "not a zip file"),
        (b"PK\x05\x06" + bytes(6) + b"\x01\0\x01\0\x30\0\0\0\x05\0\0\0\0\0", "not a zip file"),
    ],
)
def test_a_file_that_is_no_zip(content: bytes, reason: str) -> None:
    Path("x.zip").write_bytes(content)
    with pytest.raises(RefusedError, match=reason) as raised:
        behavior_policy("x.zip", discrete=None)
    assert "\n" not in str(raised.value)


def test_a_cut_zip_is_refused(models: Models) -> None:
    content = (models[0] / "ppo.zip").read_bytes()
    for length in range(0, len(content), 4999):
        Path("x.zip").write_bytes(content[:length])
        with pytest.raises(RefusedError):
            behavior_policy("x.zip", discrete=None)
