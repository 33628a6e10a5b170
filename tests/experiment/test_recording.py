"""`train --record`: a run's own online episodes become a dataset, exactly once, exactly they."""

from pathlib import Path

import pytest

from lunar_offline.data.ids import FOLDER, dataset_path, datasets_root
from lunar_offline.data.manifest import read_manifest
from lunar_offline.data.reader import read_dataset
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.experiment.config import TrainConfig
from lunar_offline.experiment.launch import resume, start
from lunar_offline.experiment.recipe import Recipe
from lunar_offline.experiment.remake import remake
from lunar_offline.experiment.run_dir import RunDir
from lunar_offline.experiment.verify import verify_dataset

TRAIN = {
    "rho": 0.0,
    "discrete": True,
    "pretrain_updates": 0,
    "online_episodes": 4,
    "warmup_steps": 150,
    "utd_ratio": 0.1,
    "batch_size": 16,
    "validate_every": 2,
    "validation_episodes": 1,
    "agent": {"hidden": [8]},
}
RECIPE = Recipe("lunar-replay-v0", train=TRAIN)


def test_what_an_agent_flew_is_what_is_published() -> None:
    config = RECIPE.training()
    training = start(config, Path("run"))
    training.train()
    dataset = read_dataset("lunar-replay-v0")
    lines = [line for line in RunDir.open(Path("run")).metrics() if "episode_return" in line]
    assert dataset.episode_returns() == pytest.approx([line["episode_return"] for line in lines])
    rows = training.feed.replay.records
    for name in rows.dtype.names or ():
        assert (dataset.transitions.records[name] == rows[name]).all()
    assert verify_dataset("lunar-replay-v0", replay=None).replayed == 4
    manifest = read_manifest(dataset_path("lunar-replay-v0"))
    assert manifest is not None
    assert manifest["recipe"]["train"]["utd_ratio"] == 0.1
    assert TrainConfig.from_dict(manifest["recipe"]["train"] | {"record": "lunar-replay-v0"})
    assert not (datasets_root() / FOLDER / "lunar-replay-v0").exists()


def test_a_recipe_of_a_training_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made = remake(RECIPE)
    sha256 = read_dataset("lunar-replay-v0").sha256
    assert remake(RECIPE).was_there
    assert not made.was_there
    assert made.episodes == 4
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(Path("elsewhere").absolute()))
    wrong = Recipe("lunar-replay-v0", train=TRAIN, sha256="0" * 64)
    with pytest.raises(RefusedError, match="its recipe says 0000"):
        remake(wrong)
    assert not dataset_path("lunar-replay-v0").exists()
    assert remake(wrong, other_bytes=True).steps == made.steps
    assert read_dataset("lunar-replay-v0").sha256 == sha256


def test_a_stopped_run_records_every_episode_once(monkeypatch: pytest.MonkeyPatch) -> None:
    remake(RECIPE)
    whole = read_dataset("lunar-replay-v0").sha256
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(Path("elsewhere").absolute()))
    training = start(RECIPE.training(), Path("run"))

    update = training._update

    def stop(*, online: bool) -> None:
        if training.episode == 3:
            raise KeyboardInterrupt
        update(online=online)

    with monkeypatch.context() as patch:
        patch.setattr(training, "_update", stop)
        with pytest.raises(KeyboardInterrupt):
            training.train()
    journal = datasets_root() / FOLDER / "lunar-replay-v0" / "episodes"
    assert len(list(journal.iterdir())) == 3
    resume(Path("run")).train()
    assert read_dataset("lunar-replay-v0").sha256 == whole


def test_an_id_that_is_taken(random_dataset: str) -> None:
    taken = Recipe(random_dataset, train=TRAIN)
    with pytest.raises(RefusedError, match="the next free version is lunar-random-v1"):
        start(taken.training(), Path("run"))
    assert not Path("run").exists()


def test_nothing_to_record() -> None:
    with pytest.raises(UsageError, match="--record without an online episode"):
        TrainConfig(dataset="x-v0", rho=1.0, record="y-v0")
    with pytest.raises(UsageError, match="is no dataset id"):
        TrainConfig(dataset="x-v0", record="../y-v0")
