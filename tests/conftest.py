"""Every test has its own Minari root and one torch thread."""

import multiprocessing
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
import torch
from dataset_info import INFO
from minari_buffers import minari_buffers

from lunar_offline.collection.collect import collect_dataset
from lunar_offline.collection.episodes import collect_episodes
from lunar_offline.datasets.episode_file import EpisodeFile
from lunar_offline.datasets.publish import publish
from lunar_offline.envs.registry import find_env
from lunar_offline.envs.rollout import EpisodeRecorder
from lunar_offline.policies.acting import random_act
from lunar_offline.transitions import Episode


@pytest.fixture(autouse=True)
def _own_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))
    for variable in ("MINARI_REMOTE", "HF_TOKEN", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(variable, raising=False)
    # the command line would ignore warnings, which are errors here
    monkeypatch.setattr("lunar_offline_cli.app.silence_libraries", lambda: None)
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _global_generators_untouched() -> Iterator[None]:
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    yield
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Slow this process's env steps down, so that other processes run episodes before it is done.

    The list grows by one for each of its steps.
    """
    steps, step = [], EpisodeRecorder.step

    def slow(recorder: EpisodeRecorder, action: Any) -> Episode | None:
        if multiprocessing.active_children():
            time.sleep(0.001)
        steps.append(1)
        return step(recorder, action)

    monkeypatch.setattr(EpisodeRecorder, "step", slow)
    return steps


@pytest.fixture(scope="session")
def random_episodes() -> dict[bool, list[Episode]]:
    """Five real episodes of the random policy per action space, keyed by `discrete`."""
    return {
        discrete: list(
            collect_episodes(
                find_env(discrete=discrete),
                random_act(find_env(discrete=discrete)),
                seed=3,
                episodes=range(5),
            )
        )
        for discrete in (True, False)
    }


@pytest.fixture
def random_dataset() -> str:
    """A published dataset of 12 discrete random episodes."""
    collect_dataset("lunar-random-v0", policy="random", discrete=True, episodes=12)
    return "lunar-random-v0"


@pytest.fixture(scope="session")
def good_datasets(
    random_episodes: dict[bool, list[Episode]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Folders of datasets of three episodes, by kind; see `hostile_datasets`."""
    root = tmp_path_factory.mktemp("good")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Minari misses standard keys
        for kind, discrete in (("manifest", True), ("discrete", True), ("continuous", False)):
            patch.setenv("MINARI_DATASETS_PATH", str(root / kind))
            recorded = EpisodeFile(random_episodes[discrete][:3])
            publish("bad-v0", recorded, find_env(discrete=discrete), INFO)
        (root / "arrow").mkdir()
        patch.setenv("MINARI_DATASETS_PATH", str(root / "arrow"))
        buffers = minari_buffers(random_episodes[True][:3])
        minari.create_dataset_from_buffers(
            "bad-v0", buffers, env=find_env(discrete=True).spec(), data_format="arrow"
        )
    return {
        kind: root / kind / "bad-v0" for kind in ("manifest", "discrete", "continuous", "arrow")
    }
