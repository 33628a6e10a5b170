import hashlib
import pickle
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.collection.recipe import read_recipe
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.journal import open_journal
from lunar_offline.envs.registry import find_env
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.evaluation.evaluate import evaluate_policy
from lunar_offline.policies.behavior import behavior_policy
from lunar_offline.progress import Silent

# a network as CleanRL writes its actors, and functions of every kind
MODULE = """
import numpy as np
import torch
from torch import nn


class Actor(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        generator = torch.Generator().manual_seed(1)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, x):
        return self.network(x)


with torch.random.fork_rng():
    actor = Actor()


def act(observation):
    with torch.no_grad():
        return actor(torch.from_numpy(observation)).argmax()


def at_random(observation, rng):
    return rng.integers(4)


def clobber(observation):
    assert observation.dtype == np.float32 and observation.shape == (8,)
    observation[:] = 0.0
    return 0


class Resting:
    def __call__(self, observation):
        return 0


class Needs:
    def __init__(self, path):
        pass


resting = lambda observation: 0
number = 3


def wrong(observation):
    return _inner(observation)


def _inner(observation):
    return 1 / 0


def late(observation):
    return 0 if observation[1] > 1.0 else 9
"""


@pytest.fixture(autouse=True)
def _module() -> Iterator[None]:
    Path("mine.py").write_text(MODULE)
    before, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and len(name) < 10 and "." not in name:
            del sys.modules[name]


def sha256_of(dataset_id: str) -> str:
    return read_dataset(dataset_id).sha256


def test_a_network_of_a_users_module() -> None:
    collected = collect_dataset("mine-v0", policy="mine:act", episodes=3)
    (source,) = read_dataset("mine-v0").metadata["lunar_offline"]["recipe"]["sources"]
    sha256 = hashlib.sha256(MODULE.encode()).hexdigest()
    assert source == {"policy": "mine:act", "policy_sha256": sha256, "episodes": 3}
    card = (collected.path / "README.md").read_text()
    assert "3 of the mine:act policy (python/mine:act, deterministic actions)" in card
    assert "collect --dataset mine-v0 --policy mine:act" in card
    act = sys.modules["mine"].act
    for episode in read_dataset("mine-v0").episodes():
        assert [int(act(row)) for row in episode.observations[:-1]] == episode.actions.tolist()
    evaluated = evaluate_policy(behavior_policy("mine:act", discrete=None), 3)
    assert len(set(evaluated.returns)) == 3


def test_its_generator_is_the_episodes_own() -> None:
    alone = collect_dataset("a-v0", policy="mine:at_random", episodes=60)
    shared = collect_dataset("b-v0", policy="mine:at_random", episodes=60, workers=2)
    assert sha256_of("a-v0") == sha256_of("b-v0")
    assert "actions sampled" in (shared.path / "README.md").read_text()
    assert alone.statistics.returns.sd > 10.0


class StopAt(Silent):
    def __init__(self, episodes: int) -> None:
        self.left = episodes

    def advance(self, by: int, **_measures: object) -> None:
        self.left -= by
        if self.left == 0:
            raise KeyboardInterrupt


def test_an_interrupted_collection_continues() -> None:
    with pytest.raises(KeyboardInterrupt):
        collect_dataset("a-v0", policy="mine:at_random", episodes=6, observer=StopAt(4))
    with open_journal("b-v0", {}) as empty:
        assert len(empty) == 0
        kept = empty.path.with_name("a-v0") / "episodes"
        assert len(list(kept.iterdir())) == 4
    collect_dataset("a-v0", policy="mine:at_random", episodes=6)
    collect_dataset("c-v0", policy="mine:at_random", episodes=6)
    assert sha256_of("a-v0") == sha256_of("c-v0")
    # the same function in a changed file is another policy
    with pytest.raises(KeyboardInterrupt):
        collect_dataset("d-v0", policy="mine:act", episodes=6, observer=StopAt(4))
    Path("mine.py").write_text(MODULE + "# changed")
    with pytest.raises(RefusedError, match="started with another recipe"):
        collect_dataset("d-v0", policy="mine:act", episodes=6)


def test_a_function_may_change_the_array_that_it_gets() -> None:
    collect_dataset("a-v0", policy="mine:clobber", episodes=2)
    collect_dataset("b-v0", policy="mine:resting", episodes=2)
    assert sha256_of("a-v0") == sha256_of("b-v0")


@pytest.mark.parametrize("name", ["mine:resting", "mine:Resting"])
def test_a_lambda_or_an_instance_by_name_reaches_other_processes(name: str) -> None:
    policy = behavior_policy(name, discrete=None)
    policy.check_workers(2)
    loaded = pickle.loads(pickle.dumps(policy.act))
    observations = np.zeros((16, 8), dtype=np.float32)
    rngs = [np.random.default_rng(0)] * 3
    assert loaded(observations, rngs).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere:act", "there is no module 'nowhere'"),
        ("mine.inner:act", "there is no module 'mine.inner'"),
        ("mine:nothing", "mine has no 'nothing'"),
        ("mine:number", "it is a int, not a function"),
        ("mine:Needs", "the class cannot be made without arguments: Needs.__init__() missing 1"),
        ("mine:wrong", r"ZeroDivisionError: division by zero (mine.py, line 57)"),
        ("broken:act", "ModuleNotFoundError: No module named 'nowhere' (broken.py, line 1)"),
        ("syntax:act", "SyntaxError: invalid syntax (syntax.py, line 1)"),
        ("leaves:act", "SystemExit: 3 (leaves.py, line 1)"),
    ],
)
def test_a_wrong_function_is_one_line_before_anything_is_written(name: str, reason: str) -> None:
    Path("broken.py").write_text("import nowhere")
    Path("syntax.py").write_text("def act(:")
    Path("leaves.py").write_text("raise SystemExit(3)")
    with pytest.raises(UsageError) as raised:
        collect_dataset("x-v0", policy=name, episodes=2)
    assert str(raised.value).startswith(f"policy {name}")
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not Path("datasets").exists()


def test_a_function_that_fails_later_can_be_corrected() -> None:
    with pytest.raises(UsageError, match="returned action 9; the actions of LunarLander-v3 are 0"):
        collect_dataset("x-v0", policy="mine:late", episodes=2)
    Path("mine.py").write_text(MODULE.replace("else 9", "else 0"))
    del sys.modules["mine"]
    assert collect_dataset("x-v0", policy="mine:late", episodes=2).statistics.episodes == 2


def test_a_function_from_python() -> None:
    policy = behavior_policy(lambda observation: 0, discrete=None)
    assert policy.name == f"{__name__}:test_a_function_from_python.<locals>.<lambda>"
    assert policy.sha256 == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert not policy.shareable
    evaluate_policy(policy, 60, workers=2)  # in this process alone
    with pytest.raises(UsageError, match="cannot be sent to other processes; use one worker"):
        collect_dataset("x-v0", policy=lambda observation: 0, episodes=2, workers=2)
    assert not Path("datasets").exists()
    collected = collect_dataset("x-v0", policy=lambda observation: 0, episodes=2)
    assert "# in Python: lunar_offline.collect('x-v0'" in (collected.path / "README.md").read_text()
    assert behavior_policy(toss, discrete=None).shareable
    assert behavior_policy(partial(toss, rng=np.random.default_rng(0)), discrete=None).shareable


def toss(observation: np.ndarray, rng: np.random.Generator) -> int:
    return int(rng.integers(2))


def test_a_function_acts_in_the_envs_own_range() -> None:
    env = find_env("Pendulum-v1")
    policy = behavior_policy(lambda observation: np.array([observation[2]]), discrete=None, env=env)
    observations = np.zeros((16, 3), dtype=np.float32)
    observations[:3, 2] = 1.0, -8.0, 0.0
    actions = policy.act(observations, [np.random.default_rng(0)] * 3)
    assert actions.tolist() == [[0.5], [-1.0], [0.0]]  # of [-2, 2], clipped
    assert actions.dtype == np.float32


def test_a_dataset_of_a_function_in_another_env() -> None:
    env = find_env("CartPole-v1")
    collect_dataset("x-v0", policy=lambda observation: int(observation[2] > 0), env=env, episodes=3)
    dataset = read_dataset("x-v0")
    assert dataset.env == env
    for episode in dataset.episodes():
        assert np.array_equal(episode.actions, episode.observations[:-1, 2] > 0)


@pytest.mark.parametrize("name", ["os:getcwd", "thresholded:os:getcwd"])
def test_a_recipe_file_cannot_name_code(name: str) -> None:
    Path("r.toml").write_text(f'dataset = "x-v0"\n[[sources]]\npolicy = "{name}"\n')
    with pytest.raises(UsageError, match="is code, which a file does not name"):
        read_recipe(Path("r.toml"))
