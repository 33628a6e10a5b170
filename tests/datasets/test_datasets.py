"""Publish through Minari's API, read with ours, and refuse what cannot be trusted."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import minari
import numpy as np
import pytest
from dataset_info import INFO

from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.episode_file import EpisodeFile
from lunar_offline.datasets.ids import check_free, existing_folder, parse_id
from lunar_offline.datasets.publish import METADATA_KEY, publish
from lunar_offline.envs.registry import find_env
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.storage.datasets_root import datasets_root
from lunar_offline.transitions import Episode, Transitions


@pytest.fixture(params=[True, False], ids=["discrete", "continuous"])
def discrete(request: pytest.FixtureRequest) -> bool:
    return request.param


def test_what_was_recorded_is_what_is_read(random_episodes, discrete: bool) -> None:
    episodes: list[Episode] = random_episodes[discrete]
    publish("box2d/random-v3", EpisodeFile(episodes), find_env(discrete=discrete), INFO)
    dataset = read_dataset("box2d/random-v3")
    expected = Transitions.from_episodes(episodes)
    assert dataset.transitions.records.tobytes() == expected.records.tobytes()
    assert dataset.env is find_env(discrete=discrete)
    assert dataset.seeds == [e.seed for e in episodes]
    returns = [e.episode_return for e in episodes]
    assert dataset.episode_returns() == pytest.approx(returns, rel=1e-5)


def test_minari_takes_it(random_episodes, discrete: bool) -> None:
    episodes: list[Episode] = random_episodes[discrete]
    publish("lunar-random-v0", EpisodeFile(episodes), find_env(discrete=discrete), INFO)
    dataset = minari.load_dataset("lunar-random-v0")
    assert dataset.total_episodes == len(episodes)
    assert dataset.total_steps == sum(len(e) for e in episodes)
    for ours, theirs in zip(episodes, dataset.iterate_episodes(), strict=True):
        assert np.array_equal(theirs.observations, ours.observations)
        assert len(theirs.observations) == len(theirs.actions) + 1
        assert np.array_equal(theirs.actions, ours.actions)
        assert np.array_equal(theirs.rewards, ours.rewards)
        assert np.array_equal(theirs.terminations, ours.terminations)
        assert np.array_equal(theirs.truncations, ours.truncations)
    metadata = dataset.storage.metadata
    assert metadata["algorithm_name"] == "lunar_offline/random"
    assert metadata["ref_min_score"] == -200.0
    assert metadata["ref_max_score"] == 260.0
    assert metadata[METADATA_KEY]["recipe"] == {"seed": 3}
    stored = next(iter(dataset.storage.get_episode_metadata([0])))
    assert stored["seed"] == episodes[0].seed
    assert stored["rewards_sum"] == pytest.approx(episodes[0].episode_return)
    for recovered in (dataset.recover_environment(), dataset.recover_environment(eval_env=True)):
        assert recovered.action_space == find_env(discrete=discrete).action_space
        recovered.close()


@pytest.mark.parametrize("command", [["list", "local"], ["show", "lunar-random-v0"]])
def test_minaris_command_line_takes_it(random_episodes, command: list[str]) -> None:
    publish("lunar-random-v0", EpisodeFile(random_episodes[True]), find_env(discrete=True), INFO)
    minari_cli = Path(sys.executable).with_name("minari")
    shown = subprocess.run([minari_cli, *command], capture_output=True, text=True, check=True)
    assert "lunar-random-v0" in shown.stdout


def test_the_same_episodes_give_the_same_bytes(random_episodes) -> None:
    for name in ("a-v0", "b-v0"):
        publish(name, EpisodeFile(random_episodes[True]), find_env(discrete=True), INFO)
    assert read_dataset("a-v0").sha256 == read_dataset("b-v0").sha256


def test_a_published_dataset_never_changes(random_episodes) -> None:
    publish("lunar-random-v0", EpisodeFile(random_episodes[True]), find_env(discrete=True), INFO)
    before = read_dataset("lunar-random-v0").sha256
    with pytest.raises(RefusedError, match="the next free version is lunar-random-v1"):
        publish(
            "lunar-random-v0", EpisodeFile(random_episodes[True][:1]), find_env(discrete=True), INFO
        )
    assert read_dataset("lunar-random-v0").sha256 == before


def test_a_failed_publication_leaves_nothing(random_episodes) -> None:
    bad = INFO.__class__(**{**INFO.__dict__, "recipe": {"x": object()}})
    with pytest.raises(TypeError):
        publish("lunar-random-v0", EpisodeFile(random_episodes[True]), find_env(discrete=True), bad)
    assert not any(path.is_file() for path in datasets_root().rglob("*"))


@pytest.mark.parametrize(
    ("dataset_id", "reason"),
    [
        ("lunar-sac", "has no version; did you mean lunar-sac-v0"),
        ("../x-v0", "is not a dataset id"),
        ("/etc/x-v0", "is not a dataset id"),
        ("", "is not a dataset id"),
        ("a b-v0", "is not a dataset id"),
        ("x.y-v0", "is not a dataset id"),
        ("x-v01", "has no version"),
        ("x-v-1", "has no version"),
        ("a/x-v0", "is not a dataset id"),
        ("x-v0\n", "is not a dataset id"),
    ],
)
def test_a_malformed_id(dataset_id: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_id(dataset_id)


def test_an_unknown_id_lists_what_exists(random_episodes) -> None:
    with pytest.raises(UsageError, match="to see those that exist: lunar-offline dataset list"):
        existing_folder("x-v1")
    publish("x-v0", EpisodeFile(random_episodes[True]), find_env(discrete=True), INFO)
    with pytest.raises(UsageError, match="existing versions: x-v0"):
        existing_folder("x-v1")
    check_free("x-v1")
    with pytest.raises(
        UsageError, match="make it with: lunar-offline collect --recipe lunar-sac-v1"
    ):
        existing_folder("lunar-sac-v1")


@pytest.fixture
def data(random_episodes) -> Path:
    """The data folder of a dataset that a test may damage; it has no manifest to show that."""
    publish("bad-v0", EpisodeFile(random_episodes[True]), find_env(discrete=True), INFO)
    (datasets_root() / "bad-v0" / "manifest.json").unlink()
    return datasets_root() / "bad-v0" / "data"


def _replace(group: h5py.Group, name: str, value: np.ndarray) -> None:
    del group[name]
    group[name] = value


DAMAGES = {
    "an action out of range": lambda g: g["actions"].write_direct(
        np.full(g["actions"].shape, 4, dtype=np.int64)
    ),
    "a value is not finite": lambda g: g["rewards"].write_direct(
        np.full(g["rewards"].shape, np.nan)
    ),
    "end flags": lambda g: g["terminations"].write_direct(
        np.ones(g["terminations"].shape, dtype=bool)
    ),
    "observations has shape": lambda g: _replace(g, "observations", g["observations"][:-1]),
    "actions has shape": lambda g: _replace(g, "actions", g["actions"][:-1]),
    "actions is of type float32": lambda g: _replace(
        g, "actions", g["actions"][()].astype(np.float32)
    ),
    "truncations is missing": lambda g: g.__delitem__("truncations"),
}


@pytest.mark.parametrize("reason", DAMAGES)
def test_a_damaged_episode_is_refused(data: Path, reason: str) -> None:
    with h5py.File(data / "main_data.hdf5", "a") as file:
        DAMAGES[reason](file["episode_2"])
    pattern = reason.replace("an action out of range", "an action is out of range")
    with pytest.raises(RefusedError, match=rf"episode_2: .*{pattern}"):
        read_dataset("bad-v0")


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("total_episodes", 6, "holds 5 episodes, metadata.json states 6"),
        ("total_steps", 1, "rows, more than the stated steps of all episodes"),
        ("total_steps", 400, "holds more than 400 steps"),
        ("total_steps", 4000, r"holds \d+ steps, not 4000"),
        ("env_spec", '{"id": "CartPole-v1"}', "a different entry_point than CartPole-v1"),
        ("env_spec", None, "env_spec is missing"),
        ("env_spec", "{", "metadata.json"),
        ("observation_space", '{"type": "Discrete", "n": 4}', "observation_space is not that"),
        ("action_space", None, "action_space is missing"),
    ],
)
def test_foreign_metadata_is_refused(data: Path, key: str, value: object, reason: str) -> None:
    path = data / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(RefusedError, match=reason):
        read_dataset("bad-v0")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_metadata_that_is_none(data: Path, content: bytes) -> None:
    (data / "metadata.json").write_bytes(content)
    with pytest.raises(RefusedError, match=r"metadata\.json"):
        read_dataset("bad-v0")


def test_a_file_that_is_not_hdf5(data: Path) -> None:
    (data / "main_data.hdf5").write_bytes(b"no HDF5 at all" * 1000)
    with pytest.raises(RefusedError, match=r"main_data\.hdf5: .*signature"):
        read_dataset("bad-v0")
    (data / "main_data.hdf5").unlink()
    with pytest.raises(RefusedError, match=r"main_data\.hdf5: No such file"):
        read_dataset("bad-v0")
