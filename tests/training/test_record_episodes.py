"""`train --record`: a run's online episodes, each exactly once, become a dataset."""

from pathlib import Path

import pytest

from lunar_offline.collection.collect import make_dataset
from lunar_offline.collection.recipe import Recipe
from lunar_offline.datasets.dataset import read_dataset
from lunar_offline.datasets.folder import open_folder
from lunar_offline.datasets.ids import dataset_path
from lunar_offline.datasets.journal import open_journal
from lunar_offline.datasets.manifest import read_manifest
from lunar_offline.datasets.verify import verify_dataset
from lunar_offline.errors import RefusedError, UsageError
from lunar_offline.storage.datasets_root import FOLDER, datasets_root
from lunar_offline.training.config import TrainConfig
from lunar_offline.training.metrics import EpisodeRecord
from lunar_offline.training.run_folder import RunFolder
from lunar_offline.training.start_or_resume import resume, start

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


def test_the_training_episodes_are_what_is_published() -> None:
    config = RECIPE.training()
    training = start(config, Path("run"))
    training.train()
    dataset = read_dataset("lunar-replay-v0")
    records = RunFolder.open(Path("run")).metrics()
    returns = [record.episode_return for record in records if isinstance(record, EpisodeRecord)]
    assert dataset.episode_returns() == pytest.approx(returns)
    rows = training.batches.replay.records
    for name in rows.dtype.names or ():
        assert (dataset.transitions.records[name] == rows[name]).all()
    assert verify_dataset(open_folder("lunar-replay-v0"), replay=None).replayed == 4
    manifest = read_manifest(dataset_path("lunar-replay-v0"))
    assert manifest is not None
    assert manifest["recipe"]["train"]["utd_ratio"] == 0.1
    assert TrainConfig.from_dict(manifest["recipe"]["train"] | {"record": "lunar-replay-v0"})
    assert not (datasets_root() / FOLDER / "lunar-replay-v0").exists()


def test_a_recipe_of_a_training_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_dataset(RECIPE)
    sha256 = read_dataset("lunar-replay-v0").sha256
    assert make_dataset(RECIPE).existed
    assert not made.existed
    assert made.statistics.episodes == 4
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(Path("elsewhere").absolute()))
    wrong = Recipe("lunar-replay-v0", train=TRAIN, sha256="0" * 64)
    with pytest.raises(RefusedError, match="its recipe gives 0000"):
        make_dataset(wrong)
    assert not dataset_path("lunar-replay-v0").exists()
    assert make_dataset(wrong, other_bytes=True).statistics == made.statistics
    assert read_dataset("lunar-replay-v0").sha256 == sha256


def test_no_dataset_has_its_journal_where_the_training_run_is() -> None:
    with open_journal("runs/lunar-replay-v0", {"seed": 3}):
        pass
    journal = datasets_root() / FOLDER / "runs" / "lunar-replay-v0"
    make_dataset(RECIPE)
    assert (journal / "episodes").is_dir()


def test_a_stopped_run_records_every_episode_once(monkeypatch: pytest.MonkeyPatch) -> None:
    make_dataset(RECIPE)
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
    with pytest.raises(UsageError, match="--record needs online episodes"):
        TrainConfig(dataset="x-v0", rho=1.0, record="y-v0")
    with pytest.raises(UsageError, match="is not a dataset id"):
        TrainConfig(dataset="x-v0", record="../y-v0")
