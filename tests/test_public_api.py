"""The public API: its names, its types and its examples."""

import ast
import doctest
import inspect
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

import lunar_offline as lo
from lunar_offline.agents import registry as algorithms
from lunar_offline.api.train_options import TrainOptions
from lunar_offline.envs import registry as envs
from lunar_offline.options import is_table, options_of
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.run_options import agent_options

SOURCE = Path(lo.__file__)
NAMES = [name for name in lo.__all__ if name != "__version__"]
CHILDREN = ("UsageError", "RefusedError", "RemoteError", "DivergedError")
# in an order in which an example finds what those before it made
EXAMPLES = (
    *("collect", "load_dataset", "Dataset", "list_datasets", "verify", "Transitions"),
    *("split_batch", "ReplayBuffer", "MixedSampler", "TrainConfig", "train", "Run"),
    *("evaluate", "Evaluation", "compare", "load_policy", "Policy", "EnvInfo", "register_env"),
    *("Learner", "register_algorithm", "LunarOfflineError"),
)
HEAVY = {"torch", "gymnasium", "minari", "h5py", "matplotlib", "numpy", "typer"}

SCRIPT = """
import numpy as np
import lunar_offline as lo


def lean(observation: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> int:
    return int(observation[2] > 0)


data: lo.Dataset = lo.collect("cart-v0", policy=lean, env="CartPole-v1", episodes=3)
again = lo.load_dataset("cart-v0")
seeds: list[int | None] = again.seeds
assert [row.episodes for row in lo.list_datasets()] == [3]
assert lo.verify(data, replay="all").replayed == len(again) == len(again.episodes())
rows: lo.Transitions = data.transitions
n_offline, n_online = lo.split_batch(0.5, 8)
replay = lo.ReplayBuffer(100, rows.records.dtype)
first, second = rows.observations[0], rows.next_observations[0]
replay.add(first, 1, 1.0, second, terminated=False, truncated=True)
sampler = lo.MixedSampler(((rows, n_offline), (replay, n_online)), rows.records.dtype)
rewards = sampler.sample(np.random.default_rng(0)).transitions.rewards.mean()
run: lo.Run = lo.train(
    data, rho=1, updates=5, algorithm="bc", batch_size=8, out="cart", agent={"hidden": (8,)}
)
config: lo.TrainConfig = run.config
records = run.metrics()
result: lo.Evaluation = lo.evaluate(run, episodes=2)
mean: float = result.mean
best: float | None = lo.compare([run])[0].best
policy: lo.Policy = lo.load_policy(run)
env: lo.EnvInfo = policy.env
action = policy.predict(rows.observations[:3])
assert action.shape == (3,) and env.env_id == "CartPole-v1" and config.rho == 1.0
try:
    lo.load_dataset("none-v0", env="CartPole-v1", env_kwargs={"sutton_barto_reward": True})
except lo.UsageError as error:
    text: str = str(error)
print("done", lo.__version__)
"""


def test_the_names_are_those_of_the_contract() -> None:
    assert set(NAMES) == {*EXAMPLES, *CHILDREN}
    assert set(dir(lo)) == set(lo.__all__)
    imported = {
        alias.asname
        for node in ast.walk(ast.parse(SOURCE.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and "lunar_offline" in node.module
        for alias in node.names
    }
    assert imported == set(NAMES)  # what type checkers see
    assert lo.__version__
    with pytest.raises(AttributeError, match="no attribute 'colect'"):
        lo.colect  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_a_docstring_and_an_example(name: str) -> None:
    text = inspect.getdoc(getattr(lo, name))
    assert text
    assert name in CHILDREN or ">>> import lunar_offline as lo" in text


@pytest.fixture
def _own_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envs, "_registered", [])
    monkeypatch.setattr(algorithms, "_called", {})


@pytest.mark.usefixtures("_own_registries")
def test_the_examples_run_as_they_are_shown() -> None:
    runner = doctest.DocTestRunner()
    for name in EXAMPLES:
        parsed = doctest.DocTestParser().get_doctest(
            inspect.getdoc(getattr(lo, name)) or "", {}, name, None, 0
        )
        assert parsed.examples
        failed = runner.run(parsed, out=lambda text: print(text, end=""))
        assert failed.failed == 0, name


def _public(thing: Any) -> Iterator[tuple[str, Any]]:
    """Yield the functions of a public name: itself, or its public methods and properties."""
    if not inspect.isclass(thing):
        yield thing.__name__, thing
        return
    for name, member in vars(thing).items():
        if isinstance(member, property):
            yield f"{thing.__name__}.{name}", member.fget
        elif inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
            yield f"{thing.__name__}.{name}", member
        elif isinstance(member, classmethod):
            yield f"{thing.__name__}.{name}", member.__func__


def _says_any(hint: Any) -> bool:
    if hint == ArrayLike:
        return False
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is np.ndarray:
        parts = parts[1:]  # NDArray leaves the shape open
    return hint is Any or any(map(_says_any, parts))


def test_no_signature_says_any() -> None:
    loose = set()
    for name in NAMES:
        for label, function in _public(getattr(lo, name)):
            try:
                hints = typing.get_type_hints(function)
            except NameError:  # a type that is imported for type checkers alone
                continue
            loose |= {f"{label}: {part}" for part, hint in hints.items() if _says_any(hint)}
    assert loose == set()


def test_every_option_is_a_keyword_of_train() -> None:
    hints = typing.get_type_hints(TrainOptions)
    options = {**options_of(TrainConfig), **agent_options()}
    assert hints.keys() == (options.keys() | {"agent"}) - {"dataset"}
    for name, hint in hints.items():
        if name != "agent" and not is_table(options[name][0]):
            assert hint is options[name][0], name


def test_a_users_script_has_only_known_types(tmp_path: Path) -> None:
    """In pyright's strict mode, where a wrong name is an error."""
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "wrong.py").write_text("import lunar_offline as lo\n\nlo.colect('x-v0')\n")
    settings = '{"typeCheckingMode": "strict", "pythonVersion": "3.11"}'
    (tmp_path / "pyrightconfig.json").write_text(settings)
    pyright = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    found = subprocess.run([*pyright, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert found.stdout.startswith("0 errors"), found.stdout
    found = subprocess.run([*pyright, "wrong.py"], cwd=tmp_path, capture_output=True, text=True)
    assert '"colect" is not a known attribute' in found.stdout
    ran = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.stdout.startswith("done"), ran.stderr


def test_the_import_loads_nothing_slow() -> None:
    code = f"import sys, lunar_offline as lo; dir(lo); print(*({HEAVY!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
